"""Files that are either whole or not there."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor


def write_json(path: Path, contents: Mapping[str, Any]) -> None:
    """Writes a file that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(contents, indent=2) + "\n")
    unfinished.replace(path)


def write_table(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Writes comma-separated values, the headings first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    unfinished.replace(path)


def write_predictions(path: Path, probabilities: Tensor) -> None:
    """Probabilities of the classes, shape (N, K), for the target's validation images in their order; for ensembles of runs."""
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez_compressed(unfinished, probabilities=probabilities.numpy())
    unfinished.replace(path)
