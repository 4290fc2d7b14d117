"""Ordering of numbers that may be NaN."""

import math


def nan_lowest(value: float) -> tuple[bool, float]:
    """Sort key that puts NaN below every number; without it, the result of `max` and `sorted` depends on its position.

    >>> max([float("nan"), 1.0, 2.0], key=nan_lowest)
    2.0
    >>> sorted([2.0, float("nan"), float("-inf")], key=nan_lowest)
    [nan, -inf, 2.0]
    """
    return (False, 0.0) if math.isnan(value) else (True, value)
