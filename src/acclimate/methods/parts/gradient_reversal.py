"""Gradient reversal, which solves a min-max problem in one backward pass."""

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
    """Return the features unchanged, with a gradient that is multiplied by -strength in the backward pass.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, Eq. 16 and 17. The strength scales the
    gradient of the layers before it only; the layers after it, such as the discriminator, learn at full speed.
    """
    reversed_features: Tensor = _ReverseGradient.apply(features, strength)
    return reversed_features
