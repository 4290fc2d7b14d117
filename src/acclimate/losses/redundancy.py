"""Losses on the redundancy between the dimensions of an embedding."""

from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.precision import in_float32

# A dimension with a norm below this counts as constant: its correlations are 0 and its gradient stays bounded.
CONSTANT = 1e-5


@in_float32
def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlation over a batch between each dimension of one embedding and each dimension of another.

    Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021, Eq. 2, after centring
    both embeddings over the batch.

    Args:
        first: Shape (N, D), N at least 2. Computed in float32 at least.
        second: The same samples in the same order, shape (N, D).

    Returns:
        Shape (D, D), in [-1, 1]; 0 for a dimension that is constant.

    Raises:
        ValueError: If the shapes differ or there are fewer than two samples.

    >>> import torch
    >>> cross_correlation(torch.tensor([[0.0, 1.0], [1.0, 5.0]]), torch.tensor([[3.0, 0.0], [4.0, -1.0]])).round()
    tensor([[ 1., -1.],
            [ 1., -1.]])
    """
    if first.ndim != 2 or first.shape != second.shape or len(first) < 2:
        raise ValueError(f"two views of at least two inputs are needed, but their shapes are {tuple(first.shape)}, {tuple(second.shape)}")
    first, second = (F.normalize(rows - rows.mean(dim=0), dim=0, eps=CONSTANT) for rows in (first, second))
    return first.T @ second


@in_float32
def redundancy_reduction(first: Tensor, second: Tensor, *, off_diagonal_weight: float = 0.005) -> Tensor:
    """Squared distance of `cross_correlation` from the identity: dimensions agree between views and differ from each other.

    Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021, Eq. 1.

    Args:
        first: Projections of one view of each input, shape (N, D), N at least 2.
        second: Projections of the other view, in the same order, shape (N, D).
        off_diagonal_weight: λ, the weight of the correlations between different dimensions, at least 0.

    Returns:
        A scalar, at least 0. As in the paper, it is a sum over dimensions, not a mean.

    Raises:
        ValueError: If the shapes differ, there are fewer than two inputs, or the weight is negative.

    >>> import torch
    >>> views = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> round(float(redundancy_reduction(views, views, off_diagonal_weight=0.1)), 4)  # both dimensions are one
    0.2
    """
    if off_diagonal_weight < 0:
        raise ValueError(f"off_diagonal_weight must be at least 0, but is {off_diagonal_weight}")
    correlation = cross_correlation(first, second)
    agreement = correlation.diagonal()
    redundancy = correlation.square().sum() - agreement.square().sum()
    return (1 - agreement).square().sum() + off_diagonal_weight * redundancy
