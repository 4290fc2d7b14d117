"""Folders for runs, sweeps and chains that no other one has."""

import itertools
import os
from pathlib import Path


def new_folder(path: str | Path) -> Path:
    """Create a folder, with -2, -3 and so on behind its name if it is there already.

    Creation is exclusive, so that runs that start in the same second get folders of their own. Processes that train together
    must agree on a folder and get `path` itself.
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
