import json
import os
import signal
import statistics
from pathlib import Path

import pytest
import torch
from small_runs import ADAPTING, SOURCE_FREE, trained_state

from acclimate.selection.checkpoint_selection import Selection

EVERY_TWO_STEPS = ("trainer.max_steps=4", "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=2")
EVERY_EPOCH = ("trainer.max_epochs=2", "trainer.max_steps=-1", "trainer.check_val_every_n_epoch=1", "trainer.val_check_interval=1.0")


def run_folder(tmp_path: Path, method: str = "dann", seed: int = 0) -> Path:
    return tmp_path / "runs" / "blobs" / method / f"seed-{seed}"


def read(file: Path):
    return json.loads(file.read_text())


def rows(tmp_path: Path):
    return {row["method"]: row for row in read(tmp_path / "methods.json")["blobs"]["rows"]}


def test_the_grid_gives_a_table_and_a_second_call_trains_only_more_seeds_of_the_best(program, methods, tmp_path, capsys, monkeypatch):
    assert program("--seeds", "2", *EVERY_TWO_STEPS) == 0
    assert {name: row["seeds"] for name, row in rows(tmp_path).items()} == {"source_only": [0, 1], "dann": [0, 1]}
    selected = [read(run_folder(tmp_path, "dann", seed) / "metrics.json")["target/test_accuracy"] for seed in (0, 1)]
    assert f"{statistics.fmean(selected):.4f} ± {statistics.stdev(selected):.4f}" in (tmp_path / "methods.md").read_text()
    times = [(run_folder(tmp_path, "dann", seed) / "metrics.json").stat().st_mtime_ns for seed in (0, 1)]
    assert "0 of 4 runs are finished" in capsys.readouterr().out
    monkeypatch.setattr(methods, "NUM_TOP", 1)
    best = max(rows(tmp_path).values(), key=lambda row: statistics.fmean(row["selected"]))["method"]
    assert program("--seeds", "2", "--top-seeds", "3", *EVERY_TWO_STEPS) == 0
    assert "4 of 4 runs are finished" in capsys.readouterr().out
    assert times == [(run_folder(tmp_path, "dann", seed) / "metrics.json").stat().st_mtime_ns for seed in (0, 1)]
    assert {name: len(row["seeds"]) for name, row in rows(tmp_path).items()} == {"source_only": 2, "dann": 2} | {best: 3}


@pytest.mark.parametrize(("when", "steps"), [(EVERY_TWO_STEPS, [2, 4]), (EVERY_EPOCH, [5, 10])])
def test_every_validation_is_judged_like_the_selected_one_and_its_checkpoint_deleted(program, tmp_path, when, steps):
    assert program("--seeds", "1", "--methods", "dann", *when) == 0
    judged = read(run_folder(tmp_path) / "checkpoints.json")
    metrics = read(run_folder(tmp_path) / "metrics.json")
    assert [checkpoint["step"] for checkpoint in judged] == steps
    selected = next(checkpoint for checkpoint in judged if checkpoint["step"] == metrics["selection/step"])
    assert selected["target/test_accuracy"] == pytest.approx(metrics["target/test_accuracy"])
    left = {path.name.removesuffix(".previous") for path in (run_folder(tmp_path) / "checkpoints").iterdir()}
    assert left == {"best.ckpt", "last.ckpt"}


def test_what_every_validation_predicts_is_kept(program, tmp_path):
    assert program("--seeds", "1", "--methods", "dann", "selection=source_accuracy", *EVERY_TWO_STEPS) == 0
    kept, metrics = torch.load(run_folder(tmp_path) / "predictions.pt"), read(run_folder(tmp_path) / "metrics.json")
    assert kept["steps"] == [2, 4]
    selected = kept["steps"].index(metrics["selection/step"])
    correct = kept["source"][selected][1].argmax(dim=1) == kept["source_labels"]
    assert correct.float().mean().item() == metrics["selection/value"]
    assert {len(kept["target"][selected][0])} != {len(correct)}


def test_a_stopped_benchmark_goes_on_where_it_was(program, tmp_path, monkeypatch):
    once = ("--seeds", "1", "--methods", "dann", *EVERY_TWO_STEPS)
    assert program(*once) == 0
    undisturbed, judged = trained_state(run_folder(tmp_path)), read(run_folder(tmp_path) / "checkpoints.json")
    (tmp_path / "runs").rename(tmp_path / "undisturbed")

    def stop(self, trainer, method):
        if trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Selection, "on_validation_epoch_start", stop)
        patch.setattr(Selection, "on_validation_batch_end", lambda *arguments: None)
        patch.setattr(Selection, "on_validation_epoch_end", lambda self, trainer, method: method.log("selection/value", torch.tensor(0.0)))
        assert program(*once) == 130
    assert not (run_folder(tmp_path) / "metrics.json").exists()
    starts = []
    monkeypatch.setattr(Selection, "on_train_start", lambda self, trainer, method: starts.append(trainer.global_step))
    assert program(*once) == 0
    assert starts == [2]
    assert read(run_folder(tmp_path) / "checkpoints.json") == judged
    resumed = trained_state(run_folder(tmp_path))
    assert all(torch.equal(value, undisturbed["state_dict"][name]) for name, value in resumed["state_dict"].items())


def test_a_changed_configuration_is_named_and_trained_anew(program, tmp_path, capsys):
    once = ("--seeds", "1", "--methods", "dann", *EVERY_TWO_STEPS)
    assert program(*once) == 0
    assert program(*once, "--report", "optimizer.lr=0.5") == 0
    assert "left out" in capsys.readouterr().out
    assert not rows(tmp_path)
    assert program(*once, "optimizer.lr=0.5") == 0
    assert "blobs dann seed 0: the stored run has another configuration" in capsys.readouterr().out
    assert read(run_folder(tmp_path) / "run.json")["config"]["optimizer"]["lr"] == 0.5
    assert len(rows(tmp_path)["dann"]["selected"]) == 1


def test_a_run_that_fails_is_named_and_the_others_go_on(program, tmp_path, capsys):
    assert program("--seeds", "1", "--methods", "cdan,dann", "method.steepness=1", "method.entropy_weighting=false", *EVERY_TWO_STEPS) == 1
    assert set(rows(tmp_path)) == {"cdan"}
    assert "failed: blobs dann seed 0: ConfigError" in capsys.readouterr().out


def test_a_method_is_worse_by_more_than_the_root_of_the_mean_variance(methods):
    # Both standard deviations are √2 · 0.1, and so is the pooled one.
    baseline = methods.Row("source_only", [0, 1], [0.6, 0.8], [], [], [])
    slightly = methods.Row("dann", [0, 1], [0.46, 0.66], [], [], [])
    clearly = methods.Row("dann", [0, 1], [0.45, 0.65], [], [], [])
    assert methods.is_worse(clearly, baseline) and not methods.is_worse(slightly, baseline)


def test_missing_archives_are_named(program, tmp_path, capsys):
    assert program("--seeds", "1", f"data.target={tmp_path / 'absent.npz'}") == 2
    assert "absent.npz" in capsys.readouterr().out


def test_the_methods_that_are_compared_are_those_that_adapt_from_a_source_to_a_target(methods):
    assert {*methods.BENCHMARKS["methods"].methods} == {"source_only", *ADAPTING} - {*SOURCE_FREE}
