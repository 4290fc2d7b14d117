"""The layer that makes a min-max problem one backward pass."""

from typing import Any

import torch
from torch import Tensor


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """The features themselves, whose gradient is multiplied by -strength on the way back.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, Eq. 16 and 17. What stands behind it
    learns at full speed whatever the strength; only what stands in front of it is slowed down.
    """
    reversed_features: Tensor = _ReverseGradient.apply(features, strength)
    return reversed_features
