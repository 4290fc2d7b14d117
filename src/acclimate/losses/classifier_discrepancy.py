"""Disagreement between two classifiers."""

import torch
from torch import Tensor

from acclimate.losses.precision import in_float32


@in_float32
def classifier_discrepancy(logits: Tensor, other_logits: Tensor) -> Tensor:
    """Mean absolute difference between the probabilities of two classifiers.

    Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018: the mean is taken over
    samples and over classes.

    Args:
        logits: Logits of the first classifier, shape (N, K), N at least 1. Computed in float32 at least.
        other_logits: Logits of the second classifier, same shape.

    Returns:
        A scalar in [0, 2 / K]: 0 if both predict the same, 2 / K if both are certain of different classes.

    Raises:
        ValueError: If the shapes differ or are not (N, K).

    >>> float(classifier_discrepancy(torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 0.0]])))
    0.5
    """
    if logits.shape != other_logits.shape or logits.ndim != 2 or logits.numel() == 0:
        raise ValueError(f"Expected two matrices of one shape (N, K), but got {tuple(logits.shape)} and {tuple(other_logits.shape)}.")
    return (torch.softmax(logits, dim=1) - torch.softmax(other_logits, dim=1)).abs().mean()
