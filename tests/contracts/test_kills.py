"""A run that is killed at any moment, also while it writes a checkpoint, is resumed to the same bits.

The long form takes some minutes: `KILLS=100 python -m pytest -m slow tests/contracts/test_kills.py`.
"""

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import pytest
from small_runs import SMALL, differences, trained_state

from acclimate import cli
from acclimate.runs import checkpoint_files
from acclimate.runs.comparison import read_metrics
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint

METHODS = ("dann", "mcd", "mean_teacher", "adda", "simclr", "shot")
OPTIONS = ("trainer.max_epochs=4", "data.source_view=shift", "data.target_views=[shift]", "model.dropout=0.3", "logger=tensorboard")
NUM_KILLS = int(os.environ.get("KILLS", "24"))
TIMES = ("train/seconds", "train/samples_per_second")
# A signal of the kernel that no handler waits for ends the process as SIGKILL would, at the microsecond that it is set for.
KILLED = -signal.SIGALRM
# Each checkpoint is written within this time or soon after.
SECONDS_OF_WRITING = 0.02


@pytest.fixture(scope="module")
def other_file_system():
    """A folder for temporary files on another file system than that of the run."""
    if not Path("/dev/shm").is_dir():
        pytest.skip("needs /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        assert Path(folder).stat().st_dev != Path(tempfile.gettempdir()).stat().st_dev
        yield folder


@pytest.fixture(scope="module")
def command(other_file_system, tmp_path_factory):
    """Run the command in a process of its own; return the exit code, the output and the seconds that it took."""
    output = tmp_path_factory.mktemp("output") / "output"

    def call(*arguments, prepare=lambda: None):
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            descriptor = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.environ["TMPDIR"] = tempfile.tempdir = other_file_system
            LastCheckpoint.SECONDS = LastCheckpoint.PAUSE = 0
            sys.argv = ["acclimate", *arguments]
            code = 99
            try:
                prepare()
                cli.main()
                code = 0
            except SystemExit as stop:
                code = int(stop.code or 0)
            except BaseException:
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, output.read_text(), time.monotonic() - started

    return call


@pytest.fixture(scope="module")
def whole(command, archives, tmp_path_factory):
    """The arguments of a method's run, the folder of one that was not killed, and the seconds that it took."""
    finished = {}

    def train(method):
        if method not in finished:
            arguments = ["train", *archives, *SMALL, *OPTIONS, f"method={method}"]
            if method == "shot":
                arguments += [f"init_from={train('source_only')[1]}"]
            folder = tmp_path_factory.mktemp(method) / "whole"
            code, output, seconds = command(*arguments, f"hydra.run.dir={folder}")
            assert code == 0, output
            finished[method] = arguments, folder, seconds
        return finished[method]

    return train


def kill_at_a_moment_of_the_run(chance, seconds):
    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0, seconds))


def kill_while_a_checkpoint_is_written(chance):
    """End the process in or right after the writing of one of the first checkpoints."""
    number, replacing = chance.randrange(5), checkpoint_files.replacing
    written = []

    @contextlib.contextmanager
    def deadly(path, **options):
        written.append(path)
        if len(written) <= number:
            with replacing(path, **options) as file:
                yield file
            return
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, SECONDS_OF_WRITING))
        with replacing(path, **options) as file:
            yield file
        os.kill(os.getpid(), signal.SIGALRM)

    checkpoint_files.replacing = deadly


def kill_and_resume(command, whole, folder, method, chance, *, while_writing):
    arguments, expected, seconds = whole(method)
    if while_writing:
        killed = command(*arguments, f"hydra.run.dir={folder}", prepare=lambda: kill_while_a_checkpoint_is_written(chance))
    else:
        killed = command(*arguments, f"hydra.run.dir={folder}", prepare=lambda: kill_at_a_moment_of_the_run(chance, seconds))
    # A run may be over before its time has come.
    assert killed[0] == KILLED or (killed[0] == 0 and not while_writing), killed
    # The record is written last of what a run is continued from.
    begun = (folder / "run.json").exists()
    code, output, _ = command("train", f"resume={folder}") if begun else command(*arguments, f"hydra.run.dir={folder}")
    assert code == 0, output
    assert "cannot be read" not in output
    for name in ("last.ckpt", "best.ckpt"):
        assert differences(trained_state(expected, name), trained_state(folder, name)) == []
    metrics = [{key: value for key, value in read_metrics(run).items() if key not in TIMES} for run in (expected, folder)]
    assert differences(*metrics) == []
    assert not list(folder.rglob("*.unfinished"))


@pytest.mark.parametrize("while_writing", [True, False])
def test_a_killed_run_continues_to_the_same_bits(command, whole, tmp_path, while_writing):
    kill_and_resume(command, whole, tmp_path / "run", "dann", random.Random(0), while_writing=while_writing)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(NUM_KILLS))
def test_runs_that_are_killed_anywhere_continue_to_the_same_bits(command, whole, tmp_path, monkeypatch, number):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", os.fdatasync)
        method = METHODS[number // 2 % len(METHODS)]
        kill_and_resume(command, whole, tmp_path / "run", method, random.Random(number), while_writing=number % 2 == 0)
