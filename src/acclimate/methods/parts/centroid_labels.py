"""Labels for unlabelled inputs from where their features lie."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.precision import in_float32


@in_float32
def centroid_labels(features: Tensor, logits: Tensor) -> Tensor:
    """The class whose centroid is nearest to each input.

    The pseudo-labels of Liang et al., "Do We Really Need to Access the Source Data?", ICML 2020, as in the published code:
    the centroid of a class is the mean of all features, weighted with the probabilities of the class; inputs get the class
    of the nearest centroid by cosine; means over these classes make better centroids, and the nearest of them is the label.
    Features get a further coordinate of 1 and the length 1 before. A class that no input has is no candidate.

    Args:
        features: Of all inputs, shape (N, D), N at least 1. Computed in float32 at least.
        logits: Shape (N, K).

    Returns:
        int64 in [0, K), shape (N,).

    Raises:
        ValueError: If the shapes do not fit.

    >>> features = torch.tensor([[9.0, 0.0], [9.0, 1.0], [1.0, 9.0], [0.0, 9.0]])
    >>> centroid_labels(features, torch.tensor([[2.0, 0.0], [-0.1, 0.0], [0.1, 0.0], [0.0, 2.0]]))
    tensor([0, 0, 1, 1])
    """
    if features.ndim != 2 or logits.ndim != 2 or len(features) != len(logits):
        raise ValueError(f"Expected shapes (N, D) and (N, K), but got {tuple(features.shape)} and {tuple(logits.shape)}.")
    directions = F.normalize(F.pad(features, (0, 1), value=1.0), dim=1)
    weights, labels = logits.softmax(dim=1), logits.argmax(dim=1)
    for _ in range(2):
        # A sum points where the mean does.
        similarities = directions @ F.normalize(weights.T.to(features.dtype) @ directions, dim=1).T
        present = labels.bincount(minlength=logits.shape[1]) > 0
        labels = similarities.masked_fill(~present, -torch.inf).argmax(dim=1)
        weights = F.one_hot(labels, logits.shape[1])
    return labels
