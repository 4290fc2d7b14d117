"""Two processes that train together, as Lightning starts them for two GPUs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import SMALL

TWO = ("trainer=cpu", "trainer.devices=2", "trainer.strategy=ddp")


def test_two_processes_report_once_what_one_finds_again(archives, tmp_path, acclimate):
    words = ["train", "method=dann", *archives, *SMALL, *TWO, "hydra.run.dir=run", "trainer.max_epochs=2"]
    # Lightning starts the same command again for the second process.
    command = [str(Path(sys.executable).with_name("acclimate")), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Everything is in") == 1
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    # No image is evaluated twice, nor left out: 2 of the target validate.
    assert np.load(tmp_path / "run" / "target_predictions.npz")["probabilities"].shape[0] == 2
    assert acclimate("evaluate", "run=run", "out=again.json", "trainer=cpu") == (0, "")
    found = json.loads((tmp_path / "again.json").read_text())
    assert found.pop("selection/name") == metrics["selection/name"]
    assert found == pytest.approx({key: metrics[key] for key in found}, rel=1e-5)


@pytest.mark.parametrize("words", [("train", "-m", "seed=0,1"), ("chain", "first.method=source_only", "second.method=dann")])
def test_several_runs_take_one_device_each(words, archives, acclimate):
    code, message = acclimate(*words, *archives, *SMALL, *TWO)
    assert (code, "one device at a time" in message, "Traceback" in message) == (2, True, False)
