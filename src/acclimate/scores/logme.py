"""LogME: transferability from the evidence of a linear model on the features."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# The fixed point is reached within a few steps; later changes are too small to affect a ranking.
MAX_STEPS = 100
TOLERANCE = 1e-6
# Keeps precisions finite if features explain labels without error.
SMALLEST = 1e-12


def log_maximum_evidence(features: Tensor, labels: Tensor) -> Tensor:
    """LogME: maximum log marginal likelihood of the labels under Bayesian linear regression, per input.

    You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021. For each class, y is
    1 for its inputs and 0 for the others, and y ~ N(F w, 1 / β) with w ~ N(0, 1 / α). The evidence of y, with w integrated
    out, is maximised over α and β by a fixed-point iteration from α = β = 1; the score is the mean over the classes. Unlike
    the likelihood of the best w, it does not reward overfitting. With about a dozen inputs and more features there may be
    several maxima, of which the iteration finds one.

    Args:
        features: F, shape (N, D), without a constant column.
        labels: int64, shape (N,); classes without inputs do not count.

    Returns:
        A scalar, float64, in nats per input; higher is better, and positive values are possible. It is invariant to the
        scale and to rotations of the features.

    Raises:
        ValueError: If there are no inputs or all features are zero.

    >>> round(log_maximum_evidence(torch.ones(4, 1), torch.tensor([0, 0, 1, 1])).item(), 4)
    -1.007
    """
    num = len(features)
    left, singular, _ = torch.linalg.svd(features.double(), full_matrices=False)
    if not singular.any():
        raise ValueError(f"LogME needs features that are not all zero, but got only zeros, of shape {tuple(features.shape)}.")
    targets = F.one_hot(labels).to(left)
    targets = targets[:, targets.any(dim=0)]
    squares = singular.square()[:, None]
    # Squared components of each y along the directions of the features, (D, K), and outside of all of them, (K,).
    inside = (left.T @ targets).square()
    outside = (targets.square().sum(dim=0) - inside.sum(dim=0)).clamp_min(0)
    alpha = beta = targets.new_ones(targets.shape[1])

    def fit() -> tuple[Tensor, Tensor]:
        """Return |w|² and the squared error for the posterior mean w."""
        ratio = alpha / beta
        size = (squares * inside / (ratio + squares).square()).sum(dim=0)
        return size, outside + (inside * (ratio / (ratio + squares)).square()).sum(dim=0)

    for _ in range(MAX_STEPS):
        ratio = alpha / beta
        size, error = fit()
        effective = (squares / (squares + ratio)).sum(dim=0)
        alpha, beta = effective / size.clamp_min(SMALLEST), (num - effective) / error.clamp_min(SMALLEST)
        if torch.allclose(alpha / beta, ratio, rtol=TOLERANCE, atol=0):
            break
    size, error = fit()
    # Directions without features have the prior's precision, which cancels.
    log_determinant = (alpha + beta * squares).log().sum(dim=0) - len(singular) * alpha.log()
    evidence: Tensor = (num * (beta.log() - math.log(2 * math.pi)) - beta * error - alpha * size - log_determinant) / 2
    return evidence.mean() / num
