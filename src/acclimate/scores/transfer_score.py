"""Transferability and discriminability of the target's features and predictions."""

import math

import torch
from torch import Tensor

from acclimate.losses.target_predictions import information
from acclimate.scores.sampled_score import SampledScore

SEED = 0
# Share of the samples. The published code of the Transfer Score uses 0.05; for 500 samples in ten clusters the standard
# deviation over seeds is then 0.0042 instead of 0.0030.
PROBED = 0.1
# Features that differ by less, relative to the largest value, are equal up to rounding.
SMALLEST_RANGE = 1e-4


def hopkins_statistic(features: Tensor) -> Tensor:
    """Hopkins statistic: the tendency of features to cluster.

    Hopkins and Skellam, "A New Method for Determining the Type of Distribution of Plant Individuals", Annals of Botany
    1954: Σu / (Σu + Σw), with the distances u from uniform random points of the bounding box to the nearest feature, and
    the distances w from features to the nearest other feature. Distances are not raised to the power D, because in many
    dimensions the largest one would dominate.

    Args:
        features: Shape (N, D). The first tenth of the rows is probed, so their order should be random.

    Returns:
        A scalar in [0, 1]: about 0.5 for uniform features, near 1 for clusters; 0.5 for a single or a constant feature. It
        is invariant to the scale of the features.
    """
    features = features.double()
    lowest, highest = features.min(dim=0).values, features.max(dim=0).values
    if len(features) < 2 or (highest - lowest).max() <= SMALLEST_RANGE * features.abs().max():
        return features.new_tensor(0.5)
    probed = max(1, int(PROBED * len(features)))
    places = torch.rand(probed, features.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(SEED))
    uniform = lowest + (highest - lowest) * places.to(features.device)
    to_uniform = torch.cdist(uniform, features).min(dim=1).values.sum()
    between = torch.cdist(features[:probed], features)
    to_others = between.fill_diagonal_(torch.inf).min(dim=1).values.sum()
    return to_uniform / (to_uniform + to_others)


def transferability_and_discriminability(features: Tensor, logits: Tensor) -> Tensor:
    """Hopkins statistic of the features plus the information of the predictions divided by log K.

    Two of the three terms of the Transfer Score of Yang et al., "Can We Evaluate Domain Adaptation Models Without
    Target-Domain Labels?", ICLR 2024. The third, the uniformity of the directions of the classifier's weights, is omitted,
    because scores have access to predictions only.

    Args:
        features: Shape (N, D), in random order, see `hopkins_statistic`.
        logits: Shape (N, K), K at least 2.

    Returns:
        A scalar in [0, 2].

    >>> transferability_and_discriminability(torch.ones(4, 2), torch.zeros(4, 2)).item()
    0.5
    """
    return hopkins_statistic(features) + information(logits.double()) / math.log(logits.shape[1])


class TransferScore(SampledScore):
    """`transferability_and_discriminability` of the target, or of a sample of more than `max_samples`, in [0, 2].

    It lacks a term of the paper's Transfer Score: the uniformity of the classifier's weights.
    """

    name = "transfer_score"

    def value(self) -> Tensor:
        target = self.sample("target")
        return transferability_and_discriminability(target.features, target.logits).float()
