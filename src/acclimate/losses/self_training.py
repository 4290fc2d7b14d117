"""Losses that train on the model's own predictions for unlabelled target images, taken as if they were labels."""

import torch
from torch import Tensor
from torch.nn import functional as F


def fixmatch(logits: Tensor, strong_logits: Tensor, *, threshold: float = 0.95) -> Tensor:
    """Cross-entropy of a strongly augmented view against the label that is predicted for a weakly augmented one.

    Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", NeurIPS 2020, Eq. 4.
    Only samples whose label is predicted with a probability of at least `threshold` count, but the sum is divided by
    the number of all samples: the term grows as the model becomes confident. Labels are constants for the gradient.

    Args:
        logits: Of the weak view, shape (N, K), N at least 1. Computed in float32 at least.
        strong_logits: Of the strong view of the same images, shape (N, K).
        threshold: τ, in [0, 1]; the paper has 0.95.

    Returns:
        A scalar, at least 0; 0 with zero gradient when no sample is confident.

    Raises:
        ValueError: If the threshold is out of range, the logits are not a matrix, or the shapes differ.

    >>> certain, unsure = [9.0, 0.0], [0.1, 0.0]
    >>> float(fixmatch(torch.tensor([certain, unsure]), torch.zeros(2, 2))).__round__(4)  # log(2) / 2
    0.3466
    """
    if logits.shape != strong_logits.shape:
        raise ValueError(f"Expected logits of two views of the same images, but got {tuple(logits.shape)} and {tuple(strong_logits.shape)}.")
    return _cross_entropy_of_confident(strong_logits, logits, threshold)


def _cross_entropy_of_confident(logits: Tensor, labelling: Tensor, threshold: float) -> Tensor:
    """Cross-entropy against the classes that are most probable by the logits `labelling`; doubtful samples count as 0."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1], but is {threshold}.")
    if logits.ndim != 2:
        raise ValueError(f"Expected logits of shape (N, K), but got {tuple(logits.shape)}.")
    confidences, labels = torch.softmax(_precise(labelling.detach()), dim=1).max(dim=1)
    errors = F.cross_entropy(_precise(logits), labels, reduction="none")
    return (errors * (confidences >= threshold)).mean()


def _precise(logits: Tensor) -> Tensor:
    # Half precision rounds 0.998 to 1, and a threshold lies just below.
    return logits if logits.dtype == torch.float64 else logits.float()
