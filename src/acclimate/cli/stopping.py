"""The end of a sweep by a signal: jobs in all processes save their state after their current step."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from acclimate.errors import Interrupted
from acclimate.runs.sweep_states import is_under_way, job_lock, read_states, request_stop, requested_stop
from acclimate.training.stop_signals import StopSignals

# Seconds between two looks at the files of a sweep.
INTERVAL = 0.25
# Its jobs go on when the command ends.
DETACHED = "submitit_slurm"
# A Ctrl-C also reaches its processes that look after jobs, and these then kill the jobs after a second.
IMPATIENT = "submitit_local"


@contextmanager
def stopping_jobs(sweep: Path, launcher: str) -> Iterator[None]:
    """Context manager for launching jobs, in which the first signal stops them and waits until they have saved their state.

    They do not get signals that only this process receives, and launchers end their processes at once when this one is interrupted.

    Args:
        sweep: The folder of the sweep.
        launcher: Name of the launcher.

    Raises:
        Interrupted: If a signal has arrived.
    """

    def stop(number: signal.Signals) -> None:
        if launcher == DETACHED:
            return
        request_stop(sweep, number)
        while any(is_under_way(sweep, state) for state in read_states(sweep)):
            time.sleep(INTERVAL)

    with StopSignals(stop) as signals:
        try:
            with _uninterrupted_processes() if launcher == IMPATIENT else nullcontext():
                yield
        except Exception as error:
            # Ray raises an error of its own when a call is interrupted.
            if signals.received is not None:
                raise Interrupted(signals.received) from error
            raise
        signals.check()


@contextmanager
def _uninterrupted_processes() -> Iterator[None]:
    """Context manager in which new processes do not receive SIGINT, while this one still does, in its other threads."""
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait, daemon=True)
    thread.start()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        waiting.set()
        thread.join()


@contextmanager
def stopped_with_sweep(sweep: Path, job: str) -> Iterator[None]:
    """Context manager for a job in a process of its own, which stops when the sweep does.

    Args:
        sweep: The folder of the sweep.
        job: The job's folder, relative to that of the sweep.

    Raises:
        Interrupted: If a signal has stopped the job, or the sweep before the job has begun.
    """
    launcher = HydraConfig.get().runtime.choices["hydra/launcher"]
    try:
        with job_lock(sweep, job), StopSignals() as signals:
            if (number := requested_stop(sweep)) is not None:
                raise Interrupted(number)
            if launcher == DETACHED:
                yield
            else:
                with _listening(sweep, signals):
                    yield
    finally:
        if launcher == "joblib":
            # When one of its processes ends, joblib kills the others, which may still be saving.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def _listening(sweep: Path, signals: StopSignals) -> Iterator[None]:
    """Context manager that sends this process the signal that has stopped the sweep, unless it has received one itself."""
    over = threading.Event()

    def listen() -> None:
        while not over.wait(INTERVAL):
            if (number := requested_stop(sweep)) is not None:
                if signals.received is None:
                    # Ray's and submitit's processes block SIGINT.
                    os.kill(os.getpid(), signal.SIGTERM if number in signal.pthread_sigmask(signal.SIG_BLOCK, ()) else number)
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
