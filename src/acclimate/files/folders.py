"""Unique folders for runs, sweeps and chains."""

import itertools
import os
from collections.abc import Collection
from pathlib import Path

# Files in the folder of a run, or of a sweep, before any run has started.
RUN_TRACES, SWEEP_TRACES = ("train.log", ".lock"), ("multirun.yaml", ".lock")


def new_folder(path: str | Path) -> Path:
    """Create a new folder, with the suffix -2, -3 and so on if it already exists.

    Creation is exclusive, so runs that start in the same second get different folders. Processes that train together must
    agree on a folder, so they get `path` itself.
    """
    folder = Path(path)
    if int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1) > 1:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        numbered = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            numbered.mkdir()
        except FileExistsError:
            continue
        return numbered
    raise AssertionError


def remove_traces(folder: Path, names: Collection[str]) -> None:
    """Remove a folder that contains only files of these names, and the parent folders that are empty afterwards."""
    files = list(folder.iterdir()) if folder.is_dir() else []
    if any(file.name not in names for file in files):
        return
    for file in files:
        file.unlink(missing_ok=True)
    for empty in (folder.absolute(), *folder.absolute().parents):
        if empty == Path.cwd() or not empty.is_dir() or any(empty.iterdir()):
            break
        empty.rmdir()
