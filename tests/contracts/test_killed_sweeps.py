"""Sweeps whose processes are all killed end, when the same command is typed again, as if nothing had happened."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import optuna
import pytest
from small_runs import SMALL, write_archives

PROGRAM = [sys.executable, "-c", "from acclimate.cli import main; main()", "train", "-m"]
TWELVE = ["method=source_only,dann", "seed=0,1,2,3,4,5", "trainer.max_epochs=2"]
LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local"],
    "ray": ["hydra/launcher=ray"],
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return [*write_archives(tmp_path_factory.mktemp("archives")), *SMALL]


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    finish([*TWELVE, *data], folder)
    return results(folder)


def start(arguments, folder):
    """Start a sweep in a process group of its own."""
    with (folder / "output.txt").open("a") as output:
        return subprocess.Popen([*PROGRAM, *arguments], cwd=folder, stdout=output, stderr=output, start_new_session=True)


def finish(arguments, folder, code=0):
    assert start(arguments, folder).wait(timeout=900) == code, (folder / "output.txt").read_text()


def kill_at_random(arguments, folder, seconds):
    """Kill a sweep with all its processes, some seconds after its first job has begun; return True if it was still running."""
    began = time.time()
    process = start(arguments, folder)
    while process.poll() is None and not any(file.stat().st_mtime > began for file in folder.rglob(".jobs/*.json")):
        time.sleep(0.05)
    time.sleep(seconds)
    running = process.poll() is None
    # Processes of the group may outlive the first one.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


def results(folder):
    """The metrics of each job, except for times."""
    found = {path.parent.name: json.loads(path.read_text()) for path in folder.rglob("metrics.json")}
    return {name: {key: value for key, value in metrics.items() if "second" not in key} for name, metrics in found.items()}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_twelve_jobs_that_are_killed_five_times_have_the_metrics_of_undisturbed_ones(launcher, data, undisturbed, tmp_path):
    arguments, moments = [*TWELVE, *data, *LAUNCHERS[launcher]], random.Random(launcher)
    for _ in range(5):
        kill_at_random(arguments, tmp_path, moments.uniform(0, 12))
    finish(arguments, tmp_path)
    assert len(undisturbed) == 12
    assert results(tmp_path) == undisturbed


def test_a_search_of_twenty_trials_that_is_killed_twice_ends_with_the_largest(data, tmp_path):
    arguments = [
        "hydra/sweeper=optuna",
        "optimizer.lr=tag(log,interval(1e-3,1e18))",
        "trainer.max_epochs=1",
        "hydra.sweep.dir=sweep",
        *data,
    ]
    moments = random.Random(0)
    for _ in range(2):
        assert kill_at_random(arguments, tmp_path, moments.uniform(2, 6))
    # Some learning rates diverge.
    finish(arguments, tmp_path, code=2)
    values = [metrics["selection/value"] for metrics in results(tmp_path).values()]
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path}/sweep/study.db")
    complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    failed = study.get_trials(states=[optuna.trial.TrialState.FAIL])
    assert len(values) == len(complete) < 20
    assert len({str(trial.params) for trial in complete + failed}) == 20
    assert study.best_value == max(values)
    assert f"{20 - len(complete)} of 20 jobs failed" in (tmp_path / "output.txt").read_text()
