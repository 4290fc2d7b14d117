"""Runs and jobs of sweeps that have no results."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from acclimate.config.messages import listed
from acclimate.runs.record import METRICS, RECORD, has_record
from acclimate.runs.sweep_states import STATES, read_states


class Unfinished(NamedTuple):
    """A run without results.

    Attributes:
        folder: Its folder, which a job that failed at once does not have.
        state: Its state, with the reason of a failure.
    """

    folder: Path
    state: str


def unfinished_runs(folders: Sequence[Path], read: Collection[Path] | None = None) -> list[Unfinished]:
    """Return the runs and jobs below the folders that have begun, but have no results.

    Args:
        folders: The folders.
        read: The folders of runs whose results could be read, if others with a `metrics.json` are to be returned, too.
    """
    found = {file.parent: "not finished" for folder in folders for file in folder.rglob(RECORD)}
    for sweep in {states.parent for folder in folders for states in folder.rglob(STATES)}:
        found |= dict(_jobs(sweep))
    ended = {file.parent: "damaged" for folder in folders for file in folder.rglob(METRICS) if has_record(file.parent)}
    results = set(ended if read is None else read)
    return sorted(Unfinished(folder, state) for folder, state in (found | ended).items() if folder not in results)


def list_unfinished(found: Sequence[Unfinished]) -> str:
    """Return the folder that contains unfinished runs, and their names and states, for a message."""
    parent = os.path.commonpath([folder.parent for folder, _ in found])
    names = defaultdict[str, list[str]](list)
    for folder, state in found:
        names[state].append(os.path.relpath(folder, parent))
    return f"in {parent}: {'; '.join(f'{listed(alike)} ({state})' for state, alike in names.items())}"


def _jobs(sweep: Path) -> Iterator[tuple[Path, str]]:
    try:
        states = list(read_states(sweep))
    except (OSError, ValueError, TypeError):
        # What a job was doing is not worth an error.
        return
    for state in states:
        if state.state in ("failed", "stopped", "pruned"):
            reason = f": {re.split(r'[.]?$|[.] ', state.reason, maxsplit=1, flags=re.MULTILINE)[0]}" if state.reason else ""
            yield sweep / state.job, f"{state.state}{reason}"
