"""Weights & Biases and MLflow: without a network, with curves, pictures, the configuration and the results of a run, also continued."""

import importlib.util
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_runs import compose, train_and_stop

from acclimate.config import machine
from acclimate.config.compose import override
from acclimate.errors import Interrupted
from acclimate.training import run
from acclimate.training.logged_outputs import log_overview
from acclimate.training.trackers import MLFLOW_RUN

OPTIONS = (
    "method=dann",
    "trainer.max_steps=8",
    "trainer.check_val_every_n_epoch=null",
    "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=2",
    "callbacks.pictures={_target_:acclimate.training.callbacks.pictures.Pictures,folder:${folder}}",
)


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def stopped_and_continued(folder, archives, *loggers):
    """Train a run with a stop in the middle, and return its metrics."""
    config = override(compose(folder, *archives, *OPTIONS), [f"logger=[{','.join(loggers)}]"])
    with pytest.raises(Interrupted):
        train_and_stop(config, hook="on_train_batch_end", batches=6)
    return run.train({**config, "resume": True})


@pytest.mark.slow
@needs("wandb")
def test_weights_and_biases_has_one_run_without_a_network(archives, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    stopped_and_continued(tmp_path / "run", archives, "csv", "wandb")
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert len({file.name for file in files}) == 1
    names = {b"loss/total", b"selection/value", b"final/target/test_accuracy", b"confusion/target", b"optimizer"}
    deadline = time.monotonic() + 30
    # Another process writes the files, and may still be at it.
    while missing := {name for name in names if not any(name in file.read_bytes() for file in files)}:
        assert time.monotonic() < deadline, missing
        time.sleep(0.2)
    assert list((tmp_path / "run" / "wandb").rglob("*.png"))
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_symlink()]


@pytest.mark.slow
@needs("mlflow")
def test_mlflow_has_one_run_without_a_server(archives, tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    metrics = stopped_and_continued(tmp_path / "run", archives, "mlflow", "csv")
    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("acclimate")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == (tmp_path / "run" / MLFLOW_RUN).read_text().strip()
    assert (found.info.status, found.info.run_name) == ("FINISHED", "run")
    assert found.data.params["trainer.max_steps"] == "8"
    assert found.data.metrics["final/target/test_accuracy"] == pytest.approx(metrics["target/test_accuracy"])
    assert {3, 7} <= {point.step for point in client.get_metric_history(found.info.run_id, "selection/value")}
    shown = {file.path for file in client.list_artifacts(found.info.run_id, "images")}
    assert any(re.match("images/samples", path) for path in shown)
    assert any("confusion" in path for path in shown)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_named_with_what_to_install_before_anything_is_read(name, archives, acclimate, monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda package: None if package == name else SimpleNamespace())
    code, message = acclimate("train", *archives, f"logger=[csv,{name}]")
    assert code == 2
    assert f"logger.{name} needs the package {name}, which is not installed. Type: pip install 'acclimate[{name}]'." in message
    assert not list(Path().iterdir())


def test_a_logger_that_keeps_configurations_gets_that_of_the_run():
    kept = []
    trackers = [SimpleNamespace(log_config=kept.append), SimpleNamespace(), SimpleNamespace(log_config=lambda config: 1 / 0)]
    log_overview(trackers, {"seed": 1}, [], 0)
    assert kept == [{"seed": 1}]
