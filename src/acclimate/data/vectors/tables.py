"""Tables of numbers in CSV, Parquet and NumPy files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from acclimate.config.messages import listed
from acclimate.config.suggestions import TABLES, suggest_readers
from acclimate.data.archives import read_arrays
from acclimate.data.tables import class_names, has_ending, has_labels, parts_of, read_frame, texts
from acclimate.data.vectors.numbers import as_values, flattened, numbers_of
from acclimate.errors import DataError
from acclimate.types import PARTS

SUFFIXES = (*TABLES, ".npz")


class Table(NamedTuple):
    """A table of numbers.

    Attributes:
        values: float32, shape (N, D).
        columns: Names of the D columns; None if the file has none.
        labels: Class names of the N rows; None without labels.
        parts: Part of each row, `train`, `val` or `test`; None if the file does not define parts.
        groups: Name of the group of each row; None if there are no groups.
        unused: Names of the other columns.
    """

    values: Tensor
    columns: list[str] | None
    labels: list[str] | None
    parts: Sequence[str] | None
    groups: list[str] | None = None
    unused: Sequence[str] = ()


def read_table(path: Path, *, columns: Sequence[str] | None, label: str, split: str | None, group: str | None = None) -> Table:
    """Read a table.

    Args:
        path: A CSV or Parquet file with named columns; or an `.npz` file with the arrays x, shape (N, D), and y, shape (N,), or with
            such arrays for each part: x_train, y_train, x_val and so on.
        columns: Names of the columns with numbers; None: all except those of labels and parts.
        label: Name of the column with the classes, which need not exist.
        split: Name of the column with the parts; None if there is none.
        group: Name of the column with the groups; None if there is none.

    Raises:
        DataError: If the file cannot be read, or the columns do not contain finite numbers.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder. Give a table: FILE.csv, FILE.parquet or FILE.npz.{suggest_readers(path)}")
    if not path.is_file():
        raise DataError(f"There is no file {path}. Give a table: FILE.csv, FILE.parquet or FILE.npz.")
    if not has_ending(path, *SUFFIXES):
        raise DataError(f"{path} is not a table. Give a file that ends in {', '.join(SUFFIXES)}.")
    return _from_arrays(path) if has_ending(path, ".npz") else _from_frame(path, columns, label, split, group)


def _from_frame(path: Path, columns: Sequence[str] | None, label: str, split: str | None, group: str | None) -> Table:
    frame = flattened(read_frame(path), path)
    names = list(frame.columns)
    no_inputs = (label, split, group)
    wanted = [name for name in names if name not in no_inputs] if columns is None else _chosen(columns, names)
    if missing := [name for name in wanted if name not in names]:
        raise DataError(f"{path} lacks the columns {listed(missing)}. It has {listed(names)}.")
    if chosen := [name for name in wanted if name in no_inputs]:
        raise DataError(f"data.columns names {listed(chosen)}, but classes, parts and groups are no inputs. Leave it out.")
    if not len(frame):
        raise DataError(f"{path} has no rows, only the names of columns. Give at least one.")
    labels = _classes(frame, path, label) if label in names else None
    parts = None if split is None else parts_of(frame, path, split)
    groups = None if group is None else texts(frame, path, "data.group", group)
    unused = [name for name in names if name not in (*wanted, *no_inputs)]
    values = numbers_of(frame[wanted], path, absent=None if label in names else label, advise=columns is None)
    return Table(values, wanted, labels, parts, groups, unused)


def _chosen(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of chosen columns; a column of lists is chosen by its own name."""
    parts = {name: [part for part in names if part.startswith(f"{name}[")] for name in columns if name not in names}
    return [part for name in columns for part in parts.get(name) or [name]]


def _classes(frame: Any, path: Path, label: str) -> list[str] | None:
    """Return the class of each row; text as it is written, also NA and None. None if the column is empty."""
    if not has_ending(path, ".parquet") and (frame[label].dtype.kind not in "biuf" or frame[label].isna().any()):
        frame = read_frame(path, only_texts=True)
    if not has_labels(frame, label):
        return None
    return class_names(frame[label].to_numpy(), path, label)


def _from_arrays(path: Path) -> Table:
    usual = ("x", "y", *(f"{name}_{part}" for part in PARTS for name in "xy"))
    # X and y are usual as well.
    found = read_arrays(path, (*usual, *(name.capitalize() for name in usual)))
    arrays = {name.lower(): array for name, array in found.items()}
    given = [part for part in PARTS if f"x_{part}" in arrays]
    keys = [f"_{part}" for part in given] if given else [""]
    if "train" not in given and "x" not in arrays:
        raise DataError(f"{path} has the arrays {listed(sorted(arrays))}, but neither x nor x_train.")
    values = [_matrix(arrays[f"x{key}"], path, f"x{key}") for key in keys]
    if len({part.shape[1] for part in values}) > 1:
        raise DataError(f"The arrays x of {path} have {listed([str(part.shape[1]) for part in values])} columns. Give the same for all.")
    labelled = [f"y{key}" in arrays for key in keys]
    if any(labelled) and not all(labelled):
        raise DataError(f"{path} has no y{keys[labelled.index(False)]}. Give labels for all of its parts, or for none.")
    labels = [class_names(arrays[f"y{key}"], path, f"y{key}") for key in keys] if all(labelled) else None
    for key, part, names in zip(keys, values, labels or [], strict=False):
        if len(part) != len(names):
            raise DataError(f"{path} has {len(part)} rows in x{key}, but {len(names)} labels in y{key}.")
    parts = [part for part, rows in zip(given, values, strict=True) for _ in rows] if given else None
    return Table(torch.cat(values), None, None if labels is None else [name for names in labels for name in names], parts)


def _matrix(array: np.ndarray[Any, Any], path: Path, name: str) -> Tensor:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise DataError(f"{name} of {path} has the shape {array.shape} and the type {array.dtype}. Give numbers, shape (rows, columns).")
    return as_values(array, f"{name} of {path}")
