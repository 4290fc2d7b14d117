"""Jobs of a sweep before they are launched, and the results of those that need not be."""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.utils import JobReturn, JobStatus

from acclimate.config.identity import digest, identity
from acclimate.errors import UserError
from acclimate.files.printable import printable_error
from acclimate.runs.record import METRICS, RECORD, read_metrics
from acclimate.runs.sweep_states import JobState, write_state


class Plan(NamedTuple):
    """A job before it is launched.

    Attributes:
        name: Its folder, relative to that of the sweep; only a number if users name the folders themselves.
        overrides: Its overrides, with the name.
        config: The plain, resolved configuration; None if there is none, because of the mistake.
        mistake: A mistake in it, which no launcher needs to find.
    """

    name: str
    overrides: list[str]
    config: dict[str, Any] | None
    mistake: UserError | None


def known_result(plan: Plan, sweep: Path, *, accepts_changes: bool) -> JobReturn | None:
    """Return the result of a job that need not be launched, and write its state.

    Args:
        plan: The job.
        sweep: The folder of the sweep.
        accepts_changes: Whether finished runs decide themselves whether they have other settings.

    Returns:
        None if the job is to be launched; for one with a mistake, a result without a value.
    """
    if plan.mistake is not None:
        write_state(sweep, JobState(plan.name, "failed", time.time(), reason=printable_error(plan.mistake)))
        return job_return(None)
    folder = sweep / plan.name
    if accepts_changes or plan.config is None or not (folder / METRICS).exists():
        return None
    try:
        if json.loads((folder / RECORD).read_text())["identity"] != digest(identity(plan.config)):
            return None
        value = float(read_metrics(folder)["selection/value"])
    except (UserError, OSError, ValueError, KeyError):
        # The job itself reports what is wrong.
        return None
    write_state(sweep, JobState(plan.name, "finished", folder.stat().st_mtime, value=value))
    return job_return(value)


def job_return(value: float | None) -> JobReturn:
    """Return a result as launchers return it, with the value of the job's score; None if it has none."""
    returned = JobReturn()
    returned.status, returned.return_value = JobStatus.COMPLETED, value
    return returned
