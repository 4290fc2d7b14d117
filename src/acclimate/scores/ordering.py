"""Orders of numbers of which some may be NaN."""

import math


def nan_lowest(value: float) -> tuple[bool, float]:
    """A sort key under which NaN is below every number, where `max` and `sorted` on the numbers alone depend on its place.

    >>> max([float("nan"), 1.0, 2.0], key=nan_lowest)
    2.0
    >>> sorted([2.0, float("nan"), float("-inf")], key=nan_lowest)
    [nan, -inf, 2.0]
    """
    return (False, 0.0) if math.isnan(value) else (True, value)
