"""Suggestions of runs near a path that is none."""

import os
from collections.abc import Iterator
from pathlib import Path

from acclimate.config.messages import most_similar

# What the folder of a run has.
TRACES = ("run.json", "checkpoints")


def suggest_run(place: Path) -> str:
    """Return a question that suggests a run: the one that a file or a folder belongs to, the newest below it, or one with a similar
    name; an empty string if there is none.
    """
    try:
        found = next(_candidates(place), None)
    except OSError:
        found = None
    return "" if found is None else f" Did you mean {found}?"


def _is_run(place: Path) -> bool:
    """Return True if a folder looks like that of a run."""
    return any((place / trace).exists() for trace in TRACES)


def _candidates(place: Path) -> Iterator[Path]:
    if not place.exists():
        beside = {path.name: path for path in place.parent.glob("*") if _is_run(path)}
        yield from (beside[name] for name in [most_similar(place.name, list(beside))] if name is not None)
        return
    yield from (parent for parent in list(place.parents)[:2] if _is_run(parent) and parent != Path())
    # A day, a sweep or all outputs.
    below = [trace.parent for depth in ("*", "*/*", "*/*/*") for trace in place.glob(f"{depth}/run.json")]
    yield from sorted(below, key=os.path.getmtime, reverse=True)
