"""Distances between the domains' features, for the curves of a run."""

import torch
from torch import Tensor

from acclimate.losses.kernel_discrepancy import mean_of_pairs

# Ridge penalty relative to the sum of all squared lengths: a direction with 5 % of the variance has half of its usual weight. Almost any
# two samples can be told apart by directions with a thousandth of the variance, which are too small to matter for the classes.
PENALTY = 0.025
# Smallest deviation relative to the root mean square.
SMALLEST_DEVIATION = 1e-3
# Squared kernel widths relative to the mean squared distance: 4, 2, 1, 1/2 and 1/4.
WIDEST, NUM_WIDTHS = 4.0, 5


def proxy_a_distance(source: Tensor, target: Tensor) -> Tensor:
    """Proxy A-distance: 2 · (1 - 2 · error) of a linear classifier that tells the domains apart.

    Ben-David et al., "Analysis of Representations for Domain Adaptation", NeurIPS 2006. Each half of the samples is judged by a
    ridge regression that was fitted to the other half, which takes milliseconds for any width. Directions in which the features hardly
    vary hardly count. Errors of the two domains have equal weight.

    Args:
        source: Features, shape (N, D), N at least 2, in random order.
        target: Features, shape (M, D), M at least 2, in random order.

    Returns:
        A scalar from 0 (no linear classifier tells the domains apart) to 2; NaN if there are too few features or some are not finite.
    """
    features = torch.cat([source, target]).double().cpu()
    if min(len(source), len(target)) < 2 or not features.isfinite().all():
        return torch.full((), torch.nan)
    # The deviation of constant features is nothing but rounding.
    smallest = SMALLEST_DEVIATION * features.square().sum(dim=1).mean().sqrt() + torch.finfo(torch.float32).tiny
    features -= features.mean(dim=0)
    features /= features.square().sum(dim=1).mean().sqrt().clamp_min(smallest)
    is_source = torch.arange(len(features)) < len(source)
    # Weights that make both domains count the same.
    weights = torch.where(is_source, 0.5 / len(source), 0.5 / len(target)).double()
    signs = torch.where(is_source, 1.0, -1.0).double()
    correct = torch.zeros(len(features), dtype=torch.bool)
    for half in (0, 1):
        fitted, judged = slice(1 - half, None, 2), slice(half, None, 2)
        correct[judged] = _judge(features[fitted], signs[fitted], weights[fitted], features[judged]) == is_source[judged]
    error = 1.0 - (weights * correct).sum()
    return (2.0 * (1.0 - 2.0 * error)).clamp(0.0, 2.0)


def _judge(fitted: Tensor, signs: Tensor, weights: Tensor, judged: Tensor) -> Tensor:
    """Return True for rows that a ridge regression assigns to the source; solved for the rows, which are fewer than wide features."""
    # The intercept is that of a constant feature.
    gram = fitted @ fitted.T + 1.0
    penalty = PENALTY / weights.clamp_min(torch.finfo(gram.dtype).tiny)
    triangle = torch.linalg.cholesky(gram + torch.diag(penalty))
    coefficients = torch.cholesky_solve(signs[:, None], triangle)[:, 0]
    said: Tensor = judged @ (fitted.T @ coefficients) + coefficients.sum() > 0
    return said


def feature_discrepancy(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy with kernels as wide as the features are apart, so that their scale does not matter.

    The value is that of `maximum_mean_discrepancy` in `acclimate.losses` up to rounding.

    Args:
        source: Features, shape (N, D), N at least 2.
        target: Features, shape (M, D), M at least 2.

    Returns:
        A scalar of at most 2, near 0 for samples of one distribution; NaN if there are too few features.
    """
    if min(len(source), len(target)) < 2:
        return torch.full((), torch.nan)
    features = torch.cat([source, target]).float().cpu()
    features -= features.mean(dim=0)
    # Twice the variance, as in `bandwidth_family`.
    mean_distance = 2.0 * features.square().sum() / (len(features) - 1)
    features /= (WIDEST * mean_distance).clamp_min(torch.finfo(features.dtype).tiny ** 0.5).sqrt()
    squares = features.square().sum(dim=1)
    # The distances of centred features can be computed from a product of matrices, which is ten times faster than in the loss.
    kernel = (features @ features.T).sub_(squares / 2).sub_(squares[:, None] / 2).exp_()
    total = kernel.clone()
    for _ in range(NUM_WIDTHS - 1):
        # The square of a kernel is the kernel of half the squared width.
        total += kernel.square_()
    total /= NUM_WIDTHS
    num = len(source)
    return mean_of_pairs(total[:num, :num]) + mean_of_pairs(total[num:, num:]) - 2.0 * total[:num, num:].mean()
