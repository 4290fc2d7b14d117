"""Contrastive losses between views of the same inputs."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.precision import in_float32


@in_float32
def nt_xent(first: Tensor, second: Tensor, *, temperature: float = 0.5) -> Tensor:
    """Normalised temperature-scaled cross-entropy (NT-Xent) of matching each view with the other view of its input.

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, Eq. 1, averaged over
    all 2N views as in their Algorithm 1. The 2N - 2 views of other inputs are the negatives, similarity is the cosine.

    Args:
        first: Projections of one view of each input, shape (N, D), N at least 2. Computed in float32 at least.
        second: Projections of the other view, in the same order, shape (N, D).
        temperature: τ, above 0; lower values put more weight on the most similar negatives.

    Returns:
        A scalar, at least 0; log(2N - 1) if all views are equal.

    Raises:
        ValueError: If the shapes differ, there are fewer than two inputs, or the temperature is not positive.

    >>> views = torch.eye(2)
    >>> round(float(nt_xent(views, views, temperature=1.0)), 4)  # log((e + 2) / e)
    0.5514
    """
    if first.ndim != 2 or first.shape != second.shape or len(first) < 2:
        raise ValueError(f"two views of at least two inputs are needed, but their shapes are {tuple(first.shape)}, {tuple(second.shape)}")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, but is {temperature}")
    num = len(first)
    views = torch.cat([first, second])
    directions = F.normalize(views, dim=1)
    similarities = directions @ directions.T / temperature
    itself = torch.eye(2 * num, dtype=torch.bool, device=views.device)
    partners = torch.arange(2 * num, device=views.device).roll(num)
    return F.cross_entropy(similarities.masked_fill(itself, -torch.inf), partners)
