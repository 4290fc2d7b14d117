"""Tables of numbers in CSV, Parquet and NumPy files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from acclimate.data.archives import read_arrays
from acclimate.errors import ConfigError, DataError

SUFFIXES = (".csv", ".parquet", ".npz")
PARTS = ("train", "val", "test")


class Table(NamedTuple):
    """A table of numbers.

    Attributes:
        values: float32, shape (N, D).
        columns: Names of the D columns; None if the file has none.
        labels: Class names of the N rows; None without labels.
        parts: Part of each row, `train`, `val` or `test`; None if the file does not define parts.
    """

    values: Tensor
    columns: list[str] | None
    labels: list[str] | None
    parts: list[str] | None


def read_table(path: Path, *, columns: Sequence[str] | None, label: str, split: str | None) -> Table:
    """Read a table.

    Args:
        path: A CSV or Parquet file with named columns; or an `.npz` file with the arrays x, shape (N, D), and y, shape (N,), or with
            such arrays for each part: x_train, y_train, x_val and so on.
        columns: Names of the columns with numbers; None: all except those of labels and parts.
        label: Name of the column with the classes, which need not exist.
        split: Name of the column with the parts; None if there is none.

    Raises:
        DataError: If the file cannot be read, or the columns do not contain finite numbers.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}. Give a table: FILE.csv, FILE.parquet or FILE.npz.")
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is not a table. Give a file that ends in {', '.join(SUFFIXES)}.")
    table = _from_arrays(path) if path.suffix == ".npz" else _from_frame(path, columns, label, split)
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


def _from_frame(path: Path, columns: Sequence[str] | None, label: str, split: str | None) -> Table:
    frame = _read_frame(path)
    frame.columns = [str(name) for name in frame.columns]
    names = list(frame.columns)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has several columns called {', '.join(doubled)}. Rename them.")
    if split is not None and split not in names:
        raise DataError(f"{path} has no column {split}, which data.split names. It has {_listed(names)}.")
    wanted = [name for name in names if name not in (label, split)] if columns is None else list(columns)
    if missing := [name for name in wanted if name not in names]:
        raise DataError(f"{path} lacks the columns {_listed(missing)}. It has {_listed(names)}.")
    labels = None if label not in names else _labels(frame[label].to_numpy(), path, label)
    parts = None if split is None else [_part(value, path, split) for value in frame[split].tolist()]
    return Table(_numbers(frame[wanted], path), wanted, labels, parts)


def _read_frame(path: Path) -> Any:
    import pandas

    try:
        return pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)
    except ImportError as error:
        raise ConfigError("Parquet files need a package that is not installed. Type pip install 'acclimate[parquet]'.") from error
    # The bytes of a damaged or foreign file can make the readers raise anything.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as a table: {reason}") from error


def _numbers(frame: Any, path: Path) -> Tensor:
    for name in frame.columns:
        if frame[name].dtype.kind not in "biuf":
            numeric = [str(one) for one in frame.columns if frame[one].dtype.kind in "biuf"]
            example = next((value for value in frame[name].tolist() if isinstance(value, str)), frame[name].tolist()[:1])
            raise DataError(
                f"The column {name} of {path} does not contain numbers, but {example!r}. If it has the classes, type data.label={name}. "
                f"Otherwise, convert it to numbers, or name the columns to use, such as data.columns=[{','.join(numeric[:8])}]."
            )
    return torch.from_numpy(frame.to_numpy(dtype=np.float32, copy=True))


def _from_arrays(path: Path) -> Table:
    arrays = read_arrays(path, ("x", "y", *(f"{name}_{part}" for part in PARTS for name in "xy")))
    given = [part for part in PARTS if f"x_{part}" in arrays]
    keys = [f"_{part}" for part in given] if given else [""]
    if "train" not in given and "x" not in arrays:
        raise DataError(f"{path} has the arrays {_listed(sorted(arrays))}, but neither x nor x_train.")
    values = [_matrix(arrays[f"x{key}"], path, f"x{key}") for key in keys]
    if len({part.shape[1] for part in values}) > 1:
        raise DataError(f"The arrays x of {path} have {_listed([str(part.shape[1]) for part in values])} columns. Give the same for all.")
    labelled = [f"y{key}" in arrays for key in keys]
    if any(labelled) and not all(labelled):
        raise DataError(f"{path} has no y{keys[labelled.index(False)]}. Give labels for all of its parts, or for none.")
    labels = [_labels(arrays[f"y{key}"], path, f"y{key}") for key in keys] if all(labelled) else None
    for key, part, names in zip(keys, values, labels or [], strict=False):
        if len(part) != len(names):
            raise DataError(f"{path} has {len(part)} rows in x{key}, but {len(names)} labels in y{key}.")
    parts = [part for part, rows in zip(given, values, strict=True) for _ in rows] if given else None
    return Table(torch.cat(values), None, None if labels is None else [name for names in labels for name in names], parts)


def _matrix(array: np.ndarray[Any, Any], path: Path, name: str) -> Tensor:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise DataError(f"{name} of {path} has the shape {array.shape} and the type {array.dtype}. Give numbers, shape (rows, columns).")
    return torch.from_numpy(array.astype(np.float32))


def _labels(values: np.ndarray[Any, Any], path: Path, name: str) -> list[str]:
    """Return the labels as text, with integers stored as floats written as integers."""
    flat = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if flat.ndim != 1:
        raise DataError(f"{name} of {path} has the shape {values.shape}. Give one label for each row.")
    labels = [str(int(value)) if isinstance(value, float) and value.is_integer() else str(value) for value in flat.tolist()]
    missing = sum(value is None or value == "" or (isinstance(value, float) and math.isnan(value)) for value in flat.tolist())
    if missing:
        raise DataError(f"{missing} of the {len(labels)} rows of {path} have no {name}. Fill them in, or leave these rows out.")
    return labels


def _part(value: object, path: Path, split: str) -> str:
    if value not in PARTS:
        raise DataError(f"The column {split} of {path} has {value!r}, but may have only {', '.join(PARTS)}.")
    return str(value)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown or "none"
