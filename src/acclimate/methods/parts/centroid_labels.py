"""Pseudo-labels from the nearest class centroid."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.precision import in_float32


@in_float32
def centroid_labels(features: Tensor, logits: Tensor) -> Tensor:
    """Assign each input to the class with the nearest centroid.

    The pseudo-labels of Liang et al., "Do We Really Need to Access the Source Data?", ICML 2020, as in the published code:
    the centroid of a class is the mean of all features, weighted by the probabilities of the class; each input gets the
    class of the nearest centroid by cosine similarity; the centroids are recomputed from these classes, and the nearest one
    gives the label. Features are first extended by a coordinate of 1 and normalised. Classes that no input is assigned to
    are not candidates.

    Args:
        features: Features of all inputs, shape (N, D), N at least 1. Computed in float32 at least.
        logits: Logits of all inputs, shape (N, K).

    Returns:
        int64 in [0, K), shape (N,).

    Raises:
        ValueError: If the shapes do not match.

    >>> features = torch.tensor([[9.0, 0.0], [9.0, 1.0], [1.0, 9.0], [0.0, 9.0]])
    >>> centroid_labels(features, torch.tensor([[2.0, 0.0], [-0.1, 0.0], [0.1, 0.0], [0.0, 2.0]]))
    tensor([0, 0, 1, 1])
    """
    if features.ndim != 2 or logits.ndim != 2 or len(features) != len(logits):
        raise ValueError(f"Expected shapes (N, D) and (N, K), but got {tuple(features.shape)} and {tuple(logits.shape)}.")
    directions = F.normalize(F.pad(features, (0, 1), value=1.0), dim=1)
    weights, labels = logits.softmax(dim=1), logits.argmax(dim=1)
    for _ in range(2):
        # A sum has the same direction as the mean.
        similarities = directions @ F.normalize(weights.T.to(features.dtype) @ directions, dim=1).T
        present = labels.bincount(minlength=logits.shape[1]) > 0
        labels = similarities.masked_fill(~present, -torch.inf).argmax(dim=1)
        weights = F.one_hot(labels, logits.shape[1])
    return labels
