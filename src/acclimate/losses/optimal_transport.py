"""Costs of optimal transport between the samples of two domains."""

import torch
from torch import Tensor

from acclimate.losses.distances import squared_distances
from acclimate.losses.precision import in_float32


@in_float32
def joint_transport_costs(
    source_features: Tensor,
    source_labels: Tensor,
    target_features: Tensor,
    target_logits: Tensor,
    *,
    feature_weight: float,
    label_weight: float,
) -> Tensor:
    """Cost of matching each source sample with each target sample, in features and in labels.

    The ground cost of Damodaran et al., "DeepJDOT: Deep Joint Distribution Optimal Transport for Unsupervised Domain
    Adaptation", ECCV 2018: α · |f(xₛ) - f(xₜ)|² + λₜ · cross-entropy of the target's prediction with the source's label.

    Args:
        source_features: Shape (N, D). Computed in float32 at least, like the other features and logits.
        source_labels: Shape (N,), int64, in [0, K); or class probabilities, shape (N, K), as in `F.cross_entropy`.
        target_features: Shape (M, D); M may differ from N.
        target_logits: Shape (M, K).
        feature_weight: α.
        label_weight: λₜ.

    Returns:
        Shape (N, M), differentiable with respect to features and logits.

    Raises:
        ValueError: If the numbers of labels, logits and features differ.

    >>> features, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    >>> logits = torch.log(torch.tensor([[0.5, 0.5]]))
    >>> joint_transport_costs(features, labels, torch.tensor([[3.0]]), logits, feature_weight=1.0, label_weight=0.0).T
    tensor([[9., 4.]])
    """
    if len(source_features) != len(source_labels) or len(target_features) != len(target_logits):
        raise ValueError(
            f"Expected a label for each of {len(source_features)} source samples and logits for each of {len(target_features)} "
            f"target samples, but got {len(source_labels)} and {len(target_logits)}."
        )
    log_probabilities = torch.log_softmax(target_logits, dim=1)
    if source_labels.is_floating_point():
        cross_entropies = -source_labels.to(log_probabilities.dtype) @ log_probabilities.T
    else:
        cross_entropies = -log_probabilities.T[source_labels]
    return feature_weight * squared_distances(source_features, target_features) + label_weight * cross_entropies
