"""Distances between the domains' features, for the curves of a run."""

import torch
from torch import Tensor

from acclimate.losses.kernel_discrepancy import bandwidth_family, maximum_mean_discrepancy

# Ridge penalty relative to the squared length of a standardised vector.
PENALTY = 0.1
# Smallest standard deviation relative to a feature's root mean square.
SMALLEST_DEVIATION = 1e-3
BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def proxy_a_distance(source: Tensor, target: Tensor) -> Tensor:
    """Proxy A-distance: 2 · (1 - 2 · error) of a linear classifier that tells the domains apart.

    Ben-David et al., "Analysis of Representations for Domain Adaptation", NeurIPS 2006. Each half of the samples is judged by a
    ridge regression that was fitted to the other half, which takes milliseconds for any width. Errors of the two domains have equal
    weight.

    Args:
        source: Features, shape (N, D), N at least 2, in random order.
        target: Features, shape (M, D), M at least 2, in random order.

    Returns:
        A scalar from 0 (no linear classifier tells the domains apart) to 2; NaN if there are too few features or some are not finite.
    """
    features = torch.cat([source, target]).double().cpu()
    if min(len(source), len(target)) < 2 or not features.isfinite().all():
        return torch.full((), torch.nan)
    # The deviation of a constant feature is nothing but rounding.
    smallest = SMALLEST_DEVIATION * features.square().mean(dim=0).sqrt() + torch.finfo(torch.float32).tiny
    features = features - features.mean(dim=0)
    features = features / features.std(dim=0).clamp_min(smallest) / features.shape[1] ** 0.5
    is_source = torch.arange(len(features)) < len(source)
    # Weights that make both domains count the same.
    weights = torch.where(is_source, 0.5 / len(source), 0.5 / len(target)).double()
    signs = torch.where(is_source, 1.0, -1.0).double()
    correct = torch.zeros(len(features), dtype=torch.bool)
    halves = torch.arange(len(features)) % 2
    for half in (0, 1):
        fitted, judged = halves != half, halves == half
        correct[judged] = _judge(features[fitted], signs[fitted], weights[fitted], features[judged]) == is_source[judged]
    error = 1.0 - (weights * correct).sum()
    return (2.0 * (1.0 - 2.0 * error)).clamp(0.0, 2.0)


def _judge(fitted: Tensor, signs: Tensor, weights: Tensor, judged: Tensor) -> Tensor:
    """Return True for rows that a ridge regression assigns to the source; solved for the rows, which are fewer than wide features."""
    # The intercept is that of a constant feature.
    gram = fitted @ fitted.T + 1.0
    penalty = PENALTY / (weights * len(fitted)).clamp_min(torch.finfo(gram.dtype).tiny)
    coefficients = torch.linalg.solve(gram + torch.diag(penalty), signs)
    said: Tensor = (judged @ fitted.T + 1.0) @ coefficients > 0
    return said


def feature_discrepancy(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy with kernels as wide as the features are apart, so that their scale does not matter.

    Args:
        source: Features, shape (N, D), N at least 2.
        target: Features, shape (M, D), M at least 2.

    Returns:
        A scalar of at most 2, near 0 for samples of one distribution; NaN if there are too few features.
    """
    if min(len(source), len(target)) < 2:
        return torch.full((), torch.nan)
    widths = bandwidth_family(source, target, factors=BANDWIDTH_FACTORS)
    return maximum_mean_discrepancy(source, target, bandwidths=widths)
