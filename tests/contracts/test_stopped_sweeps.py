"""A signal stops the jobs of a sweep after their current step, in whatever process they run."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus

from acclimate.cli.hydra_jobs import run_with_hydra
from acclimate.cli.stopping import stopping_jobs
from acclimate.errors import ConfigError, Interrupted
from acclimate.runs.record import write_record
from acclimate.runs.sweep_states import read_states, requested_stop
from acclimate.training.stop_signals import StopSignals

SWEEP = ("-m", "seed=0,1,2", "hydra.sweep.dir=sweep")


def train(config, record):
    """Train until a signal arrives, and save at the end of the step."""
    folder = Path(config["folder"])
    write_record(folder, config)
    with StopSignals() as signals:
        signals.deferred = True
        (folder / "pid").write_text(str(os.getpid()))
        while signals.received is None and not Path("over").exists():
            time.sleep(0.01)
        # The rest of a step is longer for some jobs than for others.
        time.sleep(0.2 * config["seed"])
        (folder / "saved").touch()
        signals.check()
    return 0.5


@pytest.fixture(autouse=True)
def two_processes(monkeypatch, tmp_path):
    """A launcher that runs the jobs in two processes, of which the first one has the first and the last job."""
    monkeypatch.chdir(tmp_path)
    launch, children = BasicLauncher.launch, []

    def launch_in_processes(launcher, job_overrides, initial_job_idx):
        for number in range(2):
            child = os.fork()
            if child == 0:
                try:
                    launch(launcher, job_overrides[number::2], initial_job_idx)
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=None) for _ in job_overrides]

    monkeypatch.setattr(BasicLauncher, "launch", launch_in_processes)
    yield
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def when_two_run(act):
    """Call a function with the ids of the processes of jobs when two of them run."""

    def wait():
        while len(found := [path.read_text() for path in Path("sweep").glob("*/pid")]) < 2 or "" in found:
            time.sleep(0.01)
        act([int(text) for text in found])

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.parametrize(("number", "is_for_all"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_jobs_in_other_processes_save_before_the_sweep_ends(number, is_for_all):
    when_two_run(lambda jobs: [os.kill(process, number) for process in [os.getpid(), *(jobs if is_for_all else [])]])
    with StopSignals(), pytest.raises(Interrupted, match=rf"Stopped by {number.name}\. Continue the sweep with the same command: .*=sweep"):
        run_with_hydra(SWEEP, train)
    assert sorted(path.parent.name for path in Path("sweep").glob("*/saved")) == ["seed=0", "seed=1"]
    assert {state.job: state.state for state in read_states(Path("sweep"))} == {"seed=0": "stopped", "seed=1": "stopped"}


def test_signal_to_one_job_does_not_stop_the_others():
    def act(jobs):
        os.kill(jobs[0], signal.SIGTERM)
        Path("over").touch()

    when_two_run(act)
    with pytest.raises(ConfigError, match=r"(?s)1 of 3 jobs failed.*seed=\d: It was stopped\..*with 0\.5000"):
        run_with_hydra(SWEEP, train)


def test_ctrl_c_stops_a_sweep_but_not_the_processes_of_submitit_that_would_kill_its_jobs(tmp_path):
    blocked = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    with pytest.raises(Interrupted), stopping_jobs(tmp_path, "submitit_local"):
        assert subprocess.check_output([sys.executable, "-c", blocked], text=True) == "True\n"
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(500):
            time.sleep(0.01)
    assert requested_stop(tmp_path) == signal.SIGINT
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.slow
def test_second_signal_does_not_wait_for_the_jobs(monkeypatch):
    def act(jobs):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)

    # Of two signals in a short time, one is a repetition.
    monkeypatch.setattr("acclimate.training.stop_signals.SECONDS_OF_REPEATS", 0.1)
    monkeypatch.setattr("acclimate.cli.stopping.requested_stop", lambda sweep: None)
    when_two_run(act)
    began = time.monotonic()
    with StopSignals(), pytest.raises(Interrupted):
        run_with_hydra(SWEEP, train)
    assert time.monotonic() - began < 5
    assert not list(Path("sweep").glob("*/saved"))


@pytest.mark.slow
def test_job_whose_process_is_killed_is_not_waited_for():
    def act(jobs):
        os.kill(jobs[0], signal.SIGKILL)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    when_two_run(act)
    with StopSignals(), pytest.raises(Interrupted):
        run_with_hydra(SWEEP, train)
    assert len(list(Path("sweep").glob("*/saved"))) == 1
