"""Losses on the norm of features."""

import torch
from torch import Tensor

from acclimate.losses.precision import in_float32


@in_float32
def feature_norm_growth(features: Tensor, *, step: float = 1.0) -> Tensor:
    """Squared distance between the norm of each sample's features and a norm that is larger by a step.

    The stepwise adaptive feature norm (SAFN) of Xu et al., "Larger Norm More Transferable", ICCV 2019. The desired norm is
    relative to the current one, which is a constant for the gradient: the value is always step², and the gradient pulls
    every sample outwards with the same force, whatever its norm. Features that are all zero have no direction to grow in
    and receive no gradient.

    Args:
        features: Shape (N, D), N at least 1. Computed in float32 at least.
        step: Δr, above 0, in the units of the features.

    Returns:
        A scalar, step².

    Raises:
        ValueError: If the step is not positive or the features are not a matrix.

    >>> features = torch.tensor([[3.0, 4.0]], requires_grad=True)
    >>> feature_norm_growth(features).backward()
    >>> features.grad
    tensor([[-1.2000, -1.6000]])
    """
    if step <= 0:
        raise ValueError(f"step must be above 0, but is {step}.")
    if features.ndim != 2:
        raise ValueError(f"Expected features of shape (N, D), but got {tuple(features.shape)}.")
    norms: Tensor = torch.linalg.vector_norm(features, dim=1)
    # Take the difference first: in float32, adding the step to a large norm would lose digits of the step.
    return (norms - norms.detach() - step).square().mean()
