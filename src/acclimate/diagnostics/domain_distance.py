"""Distances between the domains' features, for the curves of a run."""

from itertools import product

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


def centred_products(source: Tensor, target: Tensor) -> Tensor:
    """Scalar products of all pairs of centred features, scaled to a mean square length of 1, which both distances need.

    Args:
        source: Features, shape (N, D).
        target: Features, shape (M, D).

    Returns:
        float32, shape (N + M, N + M), the source first; almost 0 for features that are constant but for rounding.
    """
    features = torch.cat([source, target]).double().cpu()
    smallest = SMALLEST_DEVIATION * features.square().sum(dim=1).mean().sqrt() + torch.finfo(torch.float32).tiny
    features -= features.mean(dim=0)
    features /= features.square().sum(dim=1).mean().sqrt().clamp_min(smallest)
    scaled = features.float()
    return scaled @ scaled.T


def proxy_a_distance(products: Tensor, *, num_source: int, domains: Tensor | None = None) -> Tensor:
    """Proxy A-distance: 2 · (1 - 2 · error) of a linear classifier that tells the domains apart.

    Ben-David et al., "Analysis of Representations for Domain Adaptation", NeurIPS 2006. Each half of the samples is judged by a
    ridge regression that was fitted to the other half, which takes milliseconds for any width. Directions in which the features hardly
    vary hardly count. Errors of the two domains have equal weight.

    Args:
        products: `centred_products` of features in random order.
        num_source: Number of source samples, which come first, at least 2; the target needs two as well.
        domains: Number of the source or target of each sample, int64, shape (N + M,), for the mean over all pairs of a source and a
            target, because no line tells a source from two targets on either side of it; None: one of each.

    Returns:
        A scalar from 0 (no linear classifier tells the domains apart) to 2; NaN if there are too few features or some are not finite.
    """
    is_source = torch.arange(len(products)) < num_source
    if domains is not None:
        pairs = product(set(domains[:num_source].tolist()), set(domains[num_source:].tolist()))
        chosen = [torch.where(is_source, domains == source, domains == target) for source, target in pairs]
        each = [proxy_a_distance(products[rows][:, rows], num_source=int(rows[:num_source].sum())) for rows in chosen]
        return torch.stack(each).nanmean()
    num, num_target = len(products), len(products) - num_source
    if min(num_source, num_target) < 2 or not products.diagonal().isfinite().all():
        return torch.full((), torch.nan)
    # Weights that make both domains count the same.
    weights = torch.where(is_source, 0.5 / num_source, 0.5 / num_target)
    signs = torch.where(is_source, 1.0, -1.0)
    correct = torch.zeros(num, dtype=torch.bool)
    for half in (0, 1):
        fitted, judged = slice(1 - half, None, 2), slice(half, None, 2)
        # Ridge regression, solved for the rows, which are fewer than wide features; the intercept is that of a constant feature.
        penalty = PENALTY / weights[fitted]
        triangle = torch.linalg.cholesky(products[fitted, fitted] + 1.0 + torch.diag(penalty))
        coefficients = torch.cholesky_solve(signs[fitted, None], triangle)[:, 0]
        says_source = products[judged, fitted] @ coefficients + coefficients.sum() > 0
        correct[judged] = says_source == is_source[judged]
    error = 1.0 - (weights * correct).sum()
    return (2.0 * (1.0 - 2.0 * error)).clamp(0.0, 2.0)


def feature_discrepancy(products: Tensor, *, num_source: int) -> Tensor:
    """Squared maximum mean discrepancy with kernels as wide as the features are apart, so that their scale does not matter.

    The value is that of `maximum_mean_discrepancy` in `acclimate.losses` up to rounding.

    Args:
        products: `centred_products` of the features.
        num_source: Number of source samples, which come first, at least 2; the target needs two as well.

    Returns:
        A scalar of at most 2, near 0 for samples of one distribution; NaN if there are too few features.
    """
    if min(num_source, len(products) - num_source) < 2:
        return torch.full((), torch.nan)
    squares = products.diagonal()
    # Twice the variance, as in `bandwidth_family`.
    mean_distance = 2.0 * squares.sum() / (len(products) - 1)
    scale = 1.0 / (WIDEST * mean_distance).clamp_min(torch.finfo(products.dtype).tiny ** 0.5)
    # The distances of centred features can be computed from their products, which is ten times faster than in the loss.
    kernel = (products - squares / 2).sub_(squares[:, None] / 2).mul_(scale).exp_()
    total = kernel.clone()
    for _ in range(NUM_WIDTHS - 1):
        # The square of a kernel is the kernel of half the squared width.
        total += kernel.square_()
    total /= NUM_WIDTHS
    return (
        mean_of_pairs(total[:num_source, :num_source])
        + mean_of_pairs(total[num_source:, num_source:])
        - 2.0 * total[:num_source, num_source:].mean()
    )
