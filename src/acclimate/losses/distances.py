"""Distances between the samples of two sets."""

import torch
from torch import Tensor

from acclimate.losses.precision import in_float32


@in_float32
def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Squared Euclidean distance between each pair of rows.

    Computed from differences: |x|² + |y|² - 2xᵀy loses all digits for points that are close together and far from the origin.

    Args:
        first: Shape (N, D). Computed in float32 at least.
        second: Shape (M, D).

    Returns:
        Shape (N, M); differentiable, with a gradient of zero where rows coincide.

    >>> squared_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[25.,  0.]])
    """
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist").square()
