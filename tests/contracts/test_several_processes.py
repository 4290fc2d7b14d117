"""Two processes that train together, as Lightning starts them for two GPUs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import SMALL

TWO = ("trainer=cpu", "trainer.devices=2", "trainer.strategy=ddp")


def acclimate(*words, cwd):
    command = [str(Path(sys.executable).with_name("acclimate")), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_two_processes_report_once_what_one_finds_again(archives, tmp_path):
    done = acclimate("train", "method=dann", *archives, *SMALL, *TWO, "hydra.run.dir=run", "trainer.max_epochs=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Everything is in") == 1
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    # No image is evaluated twice, nor left out: 2 of the target validate.
    assert np.load(tmp_path / "run" / "target_predictions.npz")["probabilities"].shape[0] == 2
    again = acclimate("evaluate", "run=run", "out=again.json", "trainer=cpu", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    found = json.loads((tmp_path / "again.json").read_text())
    assert found.pop("selection/name") == metrics["selection/name"]
    assert found == pytest.approx({key: metrics[key] for key in found}, rel=1e-5)


@pytest.mark.parametrize("words", [("train", "-m", "seed=0,1"), ("chain", "first.method=source_only", "second.method=dann")])
def test_several_runs_take_one_device_each(words, archives, tmp_path):
    done = acclimate(*words, *archives, *SMALL, *TWO, cwd=tmp_path)
    assert done.returncode == 2
    assert "one device at a time" in done.stderr
    assert "Traceback" not in done.stderr
