"""Files that are either whole or not there."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, in a folder that is there; what it holds in the end takes the place of the file, unless there was an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    yield unfinished
    unfinished.replace(path)


def write_json(path: Path, contents: Mapping[str, Any]) -> None:
    """Writes what can be read again as JSON."""
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(contents, indent=2) + "\n")


def write_table(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Writes comma-separated values, the headings first."""
    with whole(path) as unfinished, unfinished.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_predictions(path: Path, probabilities: Tensor) -> None:
    """Probabilities of the classes, shape (N, K), for the target's validation images in their order; for ensembles of runs."""
    with whole(path) as unfinished, unfinished.open("wb") as file:
        # Into a file that is open, as NumPy would add .npz to another name.
        np.savez_compressed(file, probabilities=probabilities.numpy())
