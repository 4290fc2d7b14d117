"""States of the jobs of a sweep, in files, because jobs may run in other processes or on other machines."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from acclimate.files.atomic_files import write_json

# In the folder of the sweep.
STATES = ".jobs"


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


def clear_states(sweep: Path) -> None:
    """Remove the states of an earlier start of the sweep."""
    folder = sweep / STATES
    for file in folder.glob("*") if folder.is_dir() else ():
        file.unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()


def _file(sweep: Path, job: str) -> Path:
    # Names of jobs may contain slashes, or have the maximum length.
    return sweep / STATES / f"{hashlib.blake2b(job.encode(), digest_size=8).hexdigest()}.json"
