"""Statistics of results over seeds and folds."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

# A test of two differences would be a guess at their deviation.
MIN_PAIRS = 3
CONFIDENCE = 0.95

T = TypeVar("T")


class Summary(NamedTuple):
    """Mean of a value over repetitions.

    Attributes:
        mean: The mean.
        deviation: Sample standard deviation; None for fewer than two repetitions.
        interval: 95 % confidence interval of the mean, within the range of the values; None for fewer than two repetitions.
        num: Number of repetitions.
    """

    mean: float
    deviation: float | None
    interval: tuple[float, float] | None
    num: int


class Difference(NamedTuple):
    """Mean difference to a reference over the repetitions that both have.

    Attributes:
        mean: The mean; positive if the value is above that of the reference.
        p: Two-sided p-value of a paired t-test; None for fewer than `MIN_PAIRS` pairs, or if all differences are equal.
        num: Number of pairs.
    """

    mean: float
    p: float | None
    num: int


def summarise(values: Sequence[float], *, low: float = -math.inf, high: float = math.inf) -> Summary:
    """Return the mean, the deviation, and the confidence interval of the mean by Student's t distribution with n - 1 degrees of freedom.

    Args:
        values: One or more values.
        low: The lowest possible value. Means cannot be outside of the range, so the interval without that part is as reliable.
        high: The highest possible value.

    >>> summarise([0.5]), [round(end, 2) for end in summarise([0.5, 0.7], high=1).interval]
    (Summary(mean=0.5, deviation=None, interval=None, num=1), [-0.67, 1])
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Summary(mean, None, None, len(values))
    from scipy.special import stdtrit

    deviation = statistics.stdev(values)
    half = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2)) * deviation / math.sqrt(len(values))
    return Summary(mean, deviation, (max(mean - half, low), min(mean + half, high)), len(values))


def paired_difference(values: Mapping[T, float], reference: Mapping[T, float]) -> Difference | None:
    """Compare values with those of a reference by a paired t-test; None if they share no repetition.

    The test assumes that the differences are normally distributed and the repetitions independent. A rank test would assume
    less, but its p-value for five pairs is at least 0.0625.

    Args:
        values: A value for each repetition, such as each seed.
        reference: The same for the reference.

    >>> found = paired_difference({"0": 0.8, "1": 0.9, "2": 0.7}, {"0": 0.6, "1": 0.6, "2": 0.6, "3": 0.9})
    >>> round(found.mean, 4), round(found.p, 4), found.num
    (0.2, 0.0742, 3)
    """
    differences = [values[key] - reference[key] for key in values if key in reference]
    if not differences:
        return None
    mean, num = statistics.fmean(differences), len(differences)
    deviation = statistics.stdev(differences) if num >= MIN_PAIRS else 0.0
    # Equal differences that rounding makes unequal do not vary.
    if deviation <= 1e-12:
        return Difference(mean, None, num)
    from scipy.special import stdtr

    return Difference(mean, 2 * float(stdtr(num - 1, -abs(mean) * math.sqrt(num) / deviation)), num)
