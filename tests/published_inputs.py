"""Fixed inputs for comparisons with numbers that published code gave for them."""

import math

import torch
from torch import Tensor


def chirp(*shape: int, phase: float = 0.0) -> Tensor:
    """Values in [-1, 1] that no version of a random generator changes; float64."""
    return torch.sin(0.37 * torch.arange(math.prod(shape), dtype=torch.float64) ** 2 + phase).reshape(shape)


SOURCE, TARGET = chirp(6, 5), chirp(6, 5, phase=1.0) + 0.3
SOURCE_LOGITS, TARGET_LOGITS = 2 * chirp(6, 4, phase=2.0), 2 * chirp(6, 4, phase=3.0)
LABELS = torch.arange(6) % 4
# A set that is large enough for scores.
FEATURES = torch.cat([SOURCE, TARGET, chirp(8, 5, phase=7.0)])
LOGITS = torch.cat([SOURCE_LOGITS, TARGET_LOGITS, 2 * chirp(8, 4, phase=7.0)])
