"""Pure functions of a run's progress in [0, 1]: strengths that ramp up, learning rates that decay, layers that join.

Whoever calls them holds the progress, and a checkpoint holds it too, so a resumed run continues every schedule.
"""

import math

from acclimate.ranges import NonNegative, ShareBelowOne


def constant(progress: float) -> float:
    """One throughout.

    >>> constant(0.7)
    1.0
    """
    return 1.0


def sigmoid_ramp(progress: float, *, steepness: float = 10.0) -> float:
    """From 0 to almost 1 along a sigmoid.

    The strength of the reversed gradient in Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
    section 5.2.2: 2 / (1 + exp(-steepness · progress)) - 1, with a steepness of 10.

    >>> sigmoid_ramp(0.0)
    0.0
    >>> round(sigmoid_ramp(1.0), 4)
    0.9999
    """
    return 2.0 / (1.0 + math.exp(-steepness * progress)) - 1.0


def inverse_decay(progress: float, *, speed: NonNegative = 10.0, power: NonNegative = 0.75) -> float:
    """The learning rate's factor (1 + speed · progress) ** -power of Ganin et al., JMLR 2016, section 5.2.2.

    >>> inverse_decay(0.0)
    1.0
    >>> round(inverse_decay(1.0), 4)
    0.1656
    """
    return float((1.0 + speed * progress) ** -power)


def cosine_decay(progress: float, *, warmup: ShareBelowOne = 0.0) -> float:
    """From 1 to 0 along half a cosine (Loshchilov and Hutter, "SGDR", ICLR 2017, Eq. 5), after a linear rise.

    Args:
        progress: In [0, 1].
        warmup: The share of the run, in [0, 1), that the rise takes.

    >>> cosine_decay(0.5)
    0.5
    >>> cosine_decay(0.05, warmup=0.1)
    0.5
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))


def num_unfrozen(progress: float, *, num_stages: int, end: float) -> int:
    """How many stages train, counted from the head: one more after each equal share of the time until `end`, first none.

    Gradual unfreezing, Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018, where
    each share is an epoch.

    Args:
        progress: In [0, 1].
        num_stages: How many there are, at least 0.
        end: The progress from which on all train, above 0.

    >>> [num_unfrozen(progress, num_stages=3, end=0.6) for progress in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)]
    [0, 0, 1, 2, 3, 3]
    """
    return min(int(num_stages * progress / end), num_stages)
