"""The range of the values of images of more than 8 bits, found once for a whole data set."""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acclimate.data.images.pixels import refuse, without_value
from acclimate.data.images.stored_pixels import Stored

log = logging.getLogger(__name__)

# Usual ranges of floats and of whole numbers, in the order in which they are tried.
USUAL = {"f": [(0.0, 1.0), (-1.0, 1.0)], "i": [(0.0, 2.0**bits - 1) for bits in (8, 10, 12, 14, 16)]}
# Share of a usual range that values must fill; in a much larger range, all of them would look the same.
FILLED = 0.5


class Extremes(NamedTuple):
    """Smallest and largest value of images, and whether all values are whole numbers."""

    low: float
    high: float
    whole: bool


def extremes(stored: Stored, nan: float | None) -> Extremes | None:
    """Return the extremes of an image of more than 8 bits; None for other images.

    Raises:
        ImageError: If the image has pixels without a value, and `nan` is None.
    """
    values = stored.values[..., :-1] if stored.has_alpha else stored.values
    if values.dtype in (np.uint8, np.bool_):
        return None
    bad = without_value(values, stored.missing)
    if nan is None and values.dtype.kind == "f":
        refuse(bad)
    return extremes_of(values[~bad]) if not bad.all() else None


def extremes_of(values: NDArray[Any]) -> Extremes:
    """Return the extremes of an array."""
    return Extremes(float(values.min()), float(values.max()), values.dtype.kind in "iu")


def joined(found: Iterable[Extremes | None]) -> Extremes | None:
    """Return the extremes of several images; None if none has more than 8 bits."""
    deep = [one for one in found if one is not None]
    if not deep:
        return None
    return Extremes(min(one.low for one in deep), max(one.high for one in deep), all(one.whole for one in deep))


def range_for(found: Extremes) -> tuple[float, float]:
    """Return the range of values: a usual range of which they fill at least half, or their own extremes.

    >>> range_for(Extremes(3, 4001, True)), range_for(Extremes(-0.9, 0.98, False)), range_for(Extremes(29000, 31000, True))
    ((0.0, 4095.0), (-1.0, 1.0), (29000, 31000))
    """
    for low, high in USUAL["i" if found.whole else "f"]:
        if low <= found.low and found.high <= high and found.high - found.low >= FILLED * (high - low):
            return low, high
    return found.low, found.high if found.high > found.low else found.low + 1


def find_range(found: Extremes | None, others: Extremes | None) -> tuple[float, float] | None:
    """Return the range of values of the source, or of the target if only its images have more than 8 bits; None if none have.

    Args:
        found: Extremes of the source's images.
        others: Extremes of the target's images.
    """
    chosen = found or others
    if chosen is None:
        return None
    low, high = range_for(chosen)
    log.info("Images have more than 8 bits: values from %g to %g become 0 to 1. data.value_range=[LOW,HIGH] sets others.", low, high)
    if found is not None and others is not None and (others.low < low or others.high > high):
        log.warning(
            "The target has values from %g to %g, and those outside of the source's range, from %g to %g, are clipped. "
            "Type data.value_range=[%g,%g] to keep all.",
            *(others.low, others.high, low, high, min(low, others.low), max(high, others.high)),
        )
    return low, high
