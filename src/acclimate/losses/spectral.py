"""Losses on the singular values of a batch of features."""

import torch
from torch import Tensor

from acclimate.losses.precision import in_float32


@in_float32
def spectral_penalty(features: Tensor, *, num_values: int = 1) -> Tensor:
    """Sum of the squares of the largest singular values of a batch of features.

    Batch spectral penalisation of one domain, Chen et al., "Transferability vs. Discriminability: Batch Spectral
    Penalization for Adversarial Domain Adaptation", ICML 2019. Adversarial training aligns few dominant directions; the
    penalty shrinks them, so that the other directions, which discriminate the classes, keep their weight. As in the paper,
    it is a sum over the samples, not a mean, so it grows with the batch size.

    The gradient is 2 · σ · u · vᵀ for each of the singular values. It is finite even where they are zero or repeated; for
    repeated values it uses any pair of singular vectors, which gives a subgradient.

    Args:
        features: Shape (N, D), N at least 1. Computed in float32 at least.
        num_values: Number of singular values, from 1 to min(N, D); the paper recommends 1.

    Returns:
        A scalar, at least 0, in the squared units of the features.

    Raises:
        ValueError: If the features are not a matrix or have fewer than `num_values` singular values.

    >>> float(spectral_penalty(torch.tensor([[3.0, 0.0], [0.0, 2.0]])))
    9.0
    """
    penalty: Tensor = _singular_values(features, num_values)[:num_values].square().sum()
    return penalty


@in_float32
def spectral_shrinkage(features: Tensor, *, num_values: int = 1) -> Tensor:
    """Sum of the squares of the smallest singular values of a batch of features.

    Batch spectral shrinkage, Chen et al., "Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage for
    Safe Transfer Learning", NeurIPS 2019. Directions in which features hardly vary transfer least, so they are suppressed.
    As in the paper, it is a sum over the samples, not a mean.

    The gradient is finite even where singular values are zero or repeated, as for `spectral_penalty`.

    Args:
        features: Shape (N, D), N at least 1. Computed in float32 at least.
        num_values: Number of singular values, from 1 to min(N, D); 1 in the published code.

    Returns:
        A scalar, at least 0, in the squared units of the features.

    Raises:
        ValueError: If the features are not a matrix or have fewer than `num_values` singular values.

    >>> float(spectral_shrinkage(torch.tensor([[3.0, 0.0], [0.0, 2.0]])))
    4.0
    """
    penalty: Tensor = _singular_values(features, num_values)[-num_values:].square().sum()
    return penalty


def _singular_values(features: Tensor, num_values: int) -> Tensor:
    """Return all singular values, the largest first, after checking that there are at least `num_values`."""
    if features.ndim != 2:
        raise ValueError(f"Expected features of shape (N, D), but got {tuple(features.shape)}.")
    if not 1 <= num_values <= min(features.shape):
        raise ValueError(f"num_values must be from 1 to min(N, D) = {min(features.shape)}, but is {num_values}.")
    values: Tensor = torch.linalg.svdvals(features)
    return values
