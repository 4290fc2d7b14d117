"""Tables of numbers in CSV, Parquet and NumPy files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from acclimate.config.messages import listed, setting
from acclimate.data import tables
from acclimate.data.archives import read_arrays
from acclimate.data.tables import class_names, parts_of, read_frame, texts
from acclimate.errors import DataError
from acclimate.types import PARTS

SUFFIXES = (*tables.SUFFIXES, ".npz")


class Table(NamedTuple):
    """A table of numbers.

    Attributes:
        values: float32, shape (N, D).
        columns: Names of the D columns; None if the file has none.
        labels: Class names of the N rows; None without labels.
        parts: Part of each row, `train`, `val` or `test`; None if the file does not define parts.
        groups: What each row belongs to, N names; None where nothing says.
    """

    values: Tensor
    columns: list[str] | None
    labels: list[str] | None
    parts: Sequence[str] | None
    groups: list[str] | None = None


def read_table(path: Path, *, columns: Sequence[str] | None, label: str, split: str | None, group: str | None = None) -> Table:
    """Read a table.

    Args:
        path: A CSV or Parquet file with named columns; or an `.npz` file with the arrays x, shape (N, D), and y, shape (N,), or with
            such arrays for each part: x_train, y_train, x_val and so on.
        columns: Names of the columns with numbers; None: all except those of labels and parts.
        label: Name of the column with the classes, which need not exist.
        split: Name of the column with the parts; None if there is none.
        group: Name of the column with what each row belongs to; None if there is none.

    Raises:
        DataError: If the file cannot be read, or the columns do not contain finite numbers.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}. Give a table: FILE.csv, FILE.parquet or FILE.npz.")
    if not path.name.endswith(SUFFIXES):
        raise DataError(f"{path} is not a table. Give a file that ends in {', '.join(SUFFIXES)}.")
    table = _from_arrays(path) if path.suffix == ".npz" else _from_frame(path, columns, label, split, group)
    wrong = ~table.values.isfinite()
    if wrong.any():
        row, column = (int(place) for place in wrong.nonzero()[0])
        name = f"column {column}" if table.columns is None else f"the column {table.columns[column]}"
        raise DataError(
            f"{path} has {int(wrong.sum())} values that are missing or infinite, the first in row {row} of {name}. Fill them in, or "
            "name the columns to use: data.columns=[...]."
        )
    if not table.values.numel():
        raise DataError(f"{path} has no numbers: its shape is {tuple(table.values.shape)}. Give at least one row and one column.")
    return table


def _from_frame(path: Path, columns: Sequence[str] | None, label: str, split: str | None, group: str | None) -> Table:
    frame = read_frame(path)
    names = list(frame.columns)
    wanted = [name for name in names if name not in (label, split, group)] if columns is None else list(columns)
    if missing := [name for name in wanted if name not in names]:
        raise DataError(f"{path} lacks the columns {listed(missing)}. It has {listed(names)}.")
    if chosen := [name for name in wanted if name in (label, split, group)]:
        raise DataError(f"data.columns names {listed(chosen)}, but classes, parts and groups are no inputs. Leave it out.")
    labels = _classes(frame, path, label) if label in names else None
    parts = None if split is None else parts_of(frame, path, split)
    groups = None if group is None else texts(frame, path, "data.group", group)
    return Table(_numbers(frame[wanted], path), wanted, labels, parts, groups)


def _classes(frame: Any, path: Path, label: str) -> list[str]:
    """Return the class of each row; text as it is written, also NA and None."""
    if path.suffix != ".parquet" and (frame[label].dtype.kind not in "biuf" or frame[label].isna().any()):
        frame = read_frame(path, only_texts=True)
    return class_names(frame[label].to_numpy(), path, label)


def _numbers(frame: Any, path: Path) -> Tensor:
    for name in frame.columns:
        if frame[name].dtype.kind not in "biuf":
            numeric = [str(one) for one in frame.columns if frame[one].dtype.kind in "biuf"]
            example = next((value for value in frame[name].tolist() if isinstance(value, str)), frame[name].tolist()[:1])
            raise DataError(
                f"The column {name} of {path} does not contain numbers, but {example!r}. If it has the classes, type "
                f"{setting('data.label', name)}. "
                f"Otherwise, convert it to numbers, or name the columns to use, such as {setting('data.columns', numeric[:8])}."
            )
    return torch.from_numpy(frame.to_numpy(dtype=np.float32, copy=True))


def _from_arrays(path: Path) -> Table:
    arrays = read_arrays(path, ("x", "y", *(f"{name}_{part}" for part in PARTS for name in "xy")))
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
    return torch.from_numpy(array.astype(np.float32))
