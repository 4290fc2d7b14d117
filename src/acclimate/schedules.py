"""Schedules as pure functions of a run's progress in [0, 1]: ramps, learning rates and gradual unfreezing.

The caller keeps the progress, which is part of checkpoints, so a resumed run continues every schedule.
"""

import math

from acclimate.ranges import NonNegative, ShareBelowOne


def constant(progress: float) -> float:
    """Constant schedule of 1.

    >>> constant(0.7)
    1.0
    """
    return 1.0


def sigmoid_ramp(progress: float, *, steepness: float = 10.0) -> float:
    """Ramp from 0 to almost 1 along a sigmoid.

    The strength of the reversed gradient in Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
    section 5.2.2: 2 / (1 + exp(-steepness · progress)) - 1, with a steepness of 10.

    >>> sigmoid_ramp(0.0)
    0.0
    >>> round(sigmoid_ramp(1.0), 4)
    0.9999
    """
    return 2.0 / (1.0 + math.exp(-steepness * progress)) - 1.0


def inverse_decay(progress: float, *, speed: NonNegative = 10.0, power: NonNegative = 0.75) -> float:
    """Decay of the learning rate by (1 + speed · progress) ** -power, Ganin et al., JMLR 2016, section 5.2.2.

    >>> inverse_decay(0.0)
    1.0
    >>> round(inverse_decay(1.0), 4)
    0.1656
    """
    return float((1.0 + speed * progress) ** -power)


def cosine_decay(progress: float, *, warmup: ShareBelowOne = 0.0) -> float:
    """Decay from 1 to 0 along half a cosine (Loshchilov and Hutter, "SGDR", ICLR 2017, Eq. 5), after a linear warm-up.

    Args:
        progress: Progress of the run, in [0, 1].
        warmup: Share of the run for the warm-up, in [0, 1).

    >>> cosine_decay(0.5)
    0.5
    >>> cosine_decay(0.05, warmup=0.1)
    0.5
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))


def num_unfrozen(progress: float, *, num_stages: int, end: float) -> int:
    """Number of trainable stages, counted from the head: 0 at first, then one more at equal intervals until `end`.

    Gradual unfreezing, Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018, where
    each interval is an epoch.

    Args:
        progress: Progress of the run, in [0, 1].
        num_stages: Number of all stages, at least 0.
        end: Progress at which all stages are trainable, above 0.

    >>> [num_unfrozen(progress, num_stages=3, end=0.6) for progress in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)]
    [0, 0, 1, 2, 3, 3]
    """
    return min(int(num_stages * progress / end), num_stages)
