"""Classes by name, from the labels in arrays and columns."""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from acclimate.data.class_names import in_order, list_classes, normalised
from acclimate.data.samples import NO_LABEL
from acclimate.errors import DataError

log = logging.getLogger(__name__)

UnknownClasses = Literal["error", "drop"]


def read_labels(values: np.ndarray[Any, Any], what: str) -> tuple[list[str], Tensor]:
    """Return the names of the classes that occur, and the place of each label's name among them.

    Args:
        values: Text, truth values, or whole numbers of any type, shape (N,) or (N, 1); or one-hot rows, shape (N, K), whose classes
            are the numbers of the columns.
        what: Name of the labels for messages.

    Returns:
        Names in the order of `in_order`, and indices, int64, shape (N,).

    Raises:
        DataError: If a label is missing, or is not a whole number or text.

    >>> read_labels(np.array([7.0, 3.0, 7.0]), "y")
    (['3', '7'], tensor([1, 0, 1]))
    """
    column = _as_column(values, what)
    if column.dtype.kind not in "biufUSO":
        raise DataError(f"{what} has the type {column.dtype}. Labels must be whole numbers, text, or one-hot rows.")
    if column.dtype.kind == "O":
        # Values of several types cannot be sorted.
        distinct, codes = column.tolist(), np.arange(len(column))
    else:
        values, codes = np.unique(column, return_inverse=True)
        distinct = values.tolist()
    missing = [place for place, value in enumerate(distinct) if _is_missing(value)]
    if missing:
        number = int(np.isin(codes, missing).sum())
        raise DataError(
            f"{number} of the {len(column)} labels of {what} are missing. Fill them in, or leave these rows out. "
            "Of a target, they can be in a file of their own, without labels: data.target=[FILE,OTHER_FILE]."
        )
    names = [_name(value, what) for value in distinct]
    ordered = in_order(names)
    return ordered, number_labels(names, ordered)[torch.from_numpy(codes)]


def number_labels(names: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Return the index of each name among the classes, int64, shape (N,); `NO_LABEL` for names that are not among them.

    >>> number_labels(["b", "a", "c"], ["a", "b"])
    tensor([ 1,  0, -1])
    """
    places = {name: place for place, name in enumerate(classes)}
    return torch.tensor([places.get(name, NO_LABEL) for name in names], dtype=torch.int64)


def find_unknown(counts: Mapping[str, int], classes: Sequence[str], *, unknown: UnknownClasses, what: str) -> set[str]:
    """Compare the classes of samples with those of the classifier, and log which of these are absent.

    Args:
        counts: Number of samples of each class.
        classes: Classes of the classifier.
        unknown: Handling of samples of other classes: `error` refuses them, `drop` leaves them out.
        what: Name of the samples' file or folder for messages.

    Returns:
        The classes whose samples must be left out.

    Raises:
        DataError: If there are other classes and `unknown` is `error`, or no sample would be left.
    """
    others = counts.keys() - set(classes)
    number = sum(counts[name] for name in others)
    none_left = number == sum(counts.values())
    if others and unknown == "error":
        advice = "Correct its labels, or leave them out to take all of its samples without labels."
        raise DataError(
            f"{what} has the classes {list_classes(others)} besides those to tell apart, which are {list_classes(classes)}. "
            + (advice if none_left else f"Type data.unknown_classes=drop to leave out {_samples(number)}.")
        )
    if others and none_left:
        raise DataError(
            f"{what} has only the classes {list_classes(others)}, but none of those to tell apart, which are {list_classes(classes)}."
        )
    if others:
        log.warning("%s: left out %s of the classes %s.", what, _samples(number), list_classes(others))
    if counts and (absent := set(classes) - counts.keys()):
        log.info("%s has no samples of %s.", what, list_classes(absent))
    return others


def _samples(number: int) -> str:
    return f"{number:,} sample{'s' * (number != 1)}"


def _as_column(values: np.ndarray[Any, Any], what: str) -> np.ndarray[Any, Any]:
    if values.ndim == 1:
        return values
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim == 2 and values.dtype.kind in "biuf" and ((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all():
        places: np.ndarray[Any, Any] = values.argmax(axis=1)
        return places
    raise DataError(
        f"{what} has the shape {values.shape} and the type {values.dtype}. Give one label for each row, shape (N,) or (N, 1), or "
        "one-hot rows, shape (N, K), of zeros and a single one."
    )


def _is_missing(value: object) -> bool:
    return value in (None, "", b"") or (isinstance(value, float) and math.isnan(value))


def _name(value: object, what: str) -> str:
    """Return the name of a class; whole numbers stored as floats are written without a decimal point."""
    if isinstance(value, float) and not value.is_integer():
        raise DataError(
            f"{what} has the label {value}. Labels must be whole numbers or text; to use such numbers as names, write them as text."
        )
    if isinstance(value, bytes):
        return normalised(os.fsdecode(value))
    return normalised(value) if isinstance(value, str) else str(int(value) if isinstance(value, float) else value)
