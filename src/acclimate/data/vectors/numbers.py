"""Columns and arrays as the numbers of vectors."""

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acclimate.config.messages import listed, setting
from acclimate.config.suggestions import TABLES
from acclimate.data.tables import first_line_of, has_ending
from acclimate.errors import DataError

DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")
# The least number of steps of 32-bit numbers between the smallest and the largest value of a column.
MIN_STEPS = 256


def as_values(exact: np.ndarray[Any, Any], what: str, columns: Sequence[str] | None = None, *, advise: bool = False) -> Tensor:
    """Return numbers as float32.

    Args:
        exact: Numbers of any type, shape (N, D).
        what: Name of their file or argument, for messages.
        columns: Names of the D columns for messages; None if they have none.
        advise: Whether to advise the user to choose columns with `data.columns`.

    Raises:
        DataError: If there are no numbers, one is missing, infinite or too large, or those of a column differ by too little.
    """
    if not exact.size:
        raise DataError(f"{what} has no numbers: its shape is {tuple(exact.shape)}. Give at least one row and one column.")
    names = [f"column {number}" for number in range(exact.shape[1])] if columns is None else [f"the column {name}" for name in columns]
    with np.errstate(over="ignore"):
        values = exact.astype(np.float32)
    wrong = ~np.isfinite(values)
    if wrong.any():
        row, column = (int(place) for place in np.argwhere(wrong)[0])
        if np.isfinite(exact[row, column]):
            raise DataError(f"{what} has {exact[row, column]:g} in row {row} of {names[column]}, too large for 32 bits. Scale this column.")
        others = [name for name, bad in zip(columns or (), wrong.any(axis=0), strict=False) if not bad] if advise else []
        raise DataError(
            f"{what} has {int(wrong.sum())} values that are missing or infinite, the first in row {row} of {names[column]}. Fill them "
            f"in, or leave these rows out{_or_choose(others)}."
        )
    low, high = (ends.astype(np.float64) for ends in (exact.min(axis=0), exact.max(axis=0)))
    steps = (high - low) / np.spacing(np.maximum(abs(low), abs(high)).astype(np.float32))
    for column in map(int, np.flatnonzero((high > low) & (steps < MIN_STEPS))):
        if (exact[:, column] != values[:, column]).any():
            raise DataError(
                f"{what} has values from {low[column]:.17g} to {high[column]:.17g} in {names[column]}, too close together for 32 bits. "
                f"Subtract {low[column]:.17g} from this column in all tables."
            )
    return torch.from_numpy(values)


def flattened(frame: Any, path: Path) -> Any:
    """Replace columns whose values are lists of numbers, such as ready embeddings in Parquet, by a column for each number."""
    import pandas

    lists = [name for name in frame.columns if len(frame) and isinstance(frame[name].iloc[0], list | np.ndarray)]
    if not lists:
        return frame
    pieces = []
    for name in frame.columns:
        if name not in lists:
            pieces.append(frame[[name]])
            continue
        lengths = {len(value) if isinstance(value, list | np.ndarray) else 0 for value in frame[name]}
        if len(lengths) > 1:
            raise DataError(
                f"The column {name} of {path} has lists of {listed(sorted(map(str, lengths)))} values. Give lists of one length."
            )
        values = np.stack([np.asarray(value) for value in frame[name]])
        if values.ndim != 2 or values.dtype.kind not in "biuf":
            raise DataError(f"The column {name} of {path} has lists of something else than numbers. Give numbers.")
        pieces.append(pandas.DataFrame(values, index=frame.index, columns=[f"{name}[{place}]" for place in range(values.shape[1])]))
    return pandas.concat(pieces, axis=1)


def numbers_of(frame: Any, path: Path, *, absent: str | None, advise: bool) -> Tensor:
    """Return the numbers of a frame, float32, shape (N, D).

    Args:
        frame: The columns to use.
        path: Their file, for messages.
        absent: Name of the column of classes if the file has none, for messages.
        advise: Whether to advise the user to choose columns with `data.columns`.

    Raises:
        DataError: If a column has something else than numbers, and for the reasons of `as_values`.
    """
    texts = {str(name): _texts(frame[name]) for name in frame.columns if frame[name].dtype.kind not in "biuf"}
    columns = [str(name) for name in frame.columns]
    choice = _or_choose([name for name in columns if not texts.get(name)] if advise else [])
    for name, found in texts.items():
        if not found:
            continue
        row, text = next(iter(found.items()))
        problem = f"The column {name} of {path} does not contain numbers, but {text!r}"
        if all(map(DECIMAL_COMMA.fullmatch, found.values())):
            raise DataError(f"{problem}. Write decimals with a point, and thousands without a comma.{_with_points(path)}")
        if len(found) < len(frame) / 2:
            raise DataError(f"{problem} in row {row}. Replace it by a number, or leave such rows out{choice}.")
        unknown = "" if absent is None else f" {path} has no column {absent}."
        raise DataError(
            f"{problem}.{unknown}{_missing_header(frame)} If it has the classes, type {setting('data.label', name)}. Otherwise, convert "
            f"it to numbers such as 1234.5{choice}."
        )
    # Numbers that are already short are not doubled.
    precision = np.float32 if (frame.dtypes == np.float32).all() else np.float64
    exact = frame.astype(dict.fromkeys(texts, np.float64)).to_numpy(dtype=precision)
    return as_values(exact, str(path), columns, advise=advise)


def _texts(column: Any) -> dict[int, str]:
    """Return the values of a column that are no numbers, by their rows."""
    return {row: str(value) for row, value in enumerate(column.tolist()) if not _is_number(value)}


def _is_number(value: object) -> bool:
    if not isinstance(value, str):
        return value is None or isinstance(value, int | float | Decimal)
    try:
        float(value)
    except ValueError:
        return False
    return True


def _with_points(path: Path) -> str:
    """Return a sentence with the command that writes a table of text with decimal points instead of commas, if it is one."""
    if not has_ending(path, *TABLES) or has_ending(path, ".parquet"):
        return ""
    _, separator = first_line_of(path)
    return (
        f" In Python, if these are decimal commas: pandas.read_csv({str(path)!r}, sep={separator!r}, decimal=',').to_csv('points.csv', "
        "index=False); if they separate thousands, the same with thousands=','."
    )


def _missing_header(frame: Any) -> str:
    """Return a remark about a first line that looks like data."""
    decimals = [name for name in map(str, frame.columns) if "." in name and _is_number(name)]
    return f" The first line must have the names of the columns, but has {listed(decimals[:3])}." if decimals else ""


def _or_choose(columns: Sequence[str]) -> str:
    """Return the end of an advice to choose from these columns, if there are any."""
    return f", or name the columns to use, such as {setting('data.columns', columns[:8])}" if columns else ""
