"""States of the jobs of a sweep, in files, because jobs may run in other processes or on other machines."""

import hashlib
import json
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock

from acclimate.files.atomic_files import write_json
from acclimate.files.locks import is_acquired

# In the folder of the sweep.
STATES = ".jobs"
STOP = "stop"


class JobState(NamedTuple):
    """The state of a job, as of its last change.

    Attributes:
        job: The job's folder, relative to that of the sweep.
        state: "waiting" for another process that trains the same job, or for a free core.
        began: Time at which this start of the job began, in seconds since the epoch.
        ended: Time at which it ended; None if it has not, or if an earlier start of the sweep finished it.
        value: The value that the sweep maximises, of a finished job.
        reason: The reason of the failure, or why the pruner of a search has ended the job.
        log: The log with the details of a failure.
        warnings: Warnings in its log.
    """

    job: str
    state: Literal["waiting", "running", "finished", "pruned", "failed", "stopped"]
    began: float
    ended: float | None = None
    value: float | None = None
    reason: str | None = None
    log: str | None = None
    warnings: tuple[str, ...] = ()


def write_state(sweep: Path, state: JobState) -> None:
    """Replace the state of a job in the folder of its sweep."""
    write_json(_file(sweep, state.job), state._asdict())


def read_states(sweep: Path) -> Iterator[JobState]:
    """Yield the states of all jobs that have begun since `clear_states`, oldest first."""
    found = (json.loads(file.read_text()) for file in (sweep / STATES).glob("*.json"))
    yield from sorted((JobState(**contents) for contents in found), key=lambda one: (one.began, one.job))


def best_of(states: Iterable[JobState], *, is_lowest_best: bool | None = False) -> JobState | None:
    """Return the finished job with the best value; None if there is none, or if the values cannot be compared.

    Args:
        states: States of jobs.
        is_lowest_best: True for a search that minimises; None if the values are of several scores, or of none.
    """
    if is_lowest_best is None:
        return None
    finished = [state for state in states if state.value is not None]
    return max(finished, key=lambda state: (-1 if is_lowest_best else 1) * (state.value or 0.0), default=None)


def clear_states(sweep: Path) -> None:
    """Remove the states of an earlier start of the sweep."""
    folder = sweep / STATES
    for file in folder.glob("*") if folder.is_dir() else ():
        file.unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()


def job_lock(sweep: Path, job: str) -> FileLock:
    """Return the lock that a job in a process of its own holds while it runs, so that others know whether its process still exists."""
    return FileLock(_file(sweep, job).with_suffix(".lock"))


def is_under_way(sweep: Path, state: JobState) -> bool:
    """Return True if a job runs or waits in a process of its own that still exists."""
    if state.state not in ("running", "waiting"):
        return False
    lock = job_lock(sweep, state.job)
    if is_acquired(lock):
        lock.release()
        return False
    return True


def request_stop(sweep: Path, number: signal.Signals) -> None:
    """Ask all jobs that run in other processes to stop as if they had received a signal."""
    write_json(sweep / STATES / STOP, {"signal": number.name})


def requested_stop(sweep: Path) -> signal.Signals | None:
    """Return the signal of `request_stop`; None if the jobs of this start of the sweep may go on."""
    try:
        return signal.Signals[json.loads((sweep / STATES / STOP).read_text())["signal"]]
    except FileNotFoundError:
        return None


def _file(sweep: Path, job: str) -> Path:
    # Names of jobs may contain slashes, or have the maximum length.
    return sweep / STATES / f"{hashlib.blake2b(job.encode(), digest_size=8).hexdigest()}.json"
