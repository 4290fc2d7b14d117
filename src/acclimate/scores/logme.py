"""How well a linear model can explain labels by features, without training one."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# The fixed point is reached within a few steps; beyond these nothing changes that a ranking could see.
MAX_STEPS = 100
TOLERANCE = 1e-6
# Keeps precisions finite where features explain labels without error.
SMALLEST = 1e-12


def log_maximum_evidence(features: Tensor, labels: Tensor) -> Tensor:
    """LogME: the largest log marginal likelihood of the labels under Bayesian linear regression, for each image.

    You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021. For each class, y
    says which images are of it, and y ~ N(F w, 1 / β) with w ~ N(0, 1 / α). The evidence of y without w is maximised over
    α and β by a fixed-point iteration from α = β = 1, and the mean over the classes is the score. Unlike the likelihood of
    the best w it does not grow with whatever the features can fit. With about a dozen images and more features there may
    be several maxima, of which the iteration finds one.

    Args:
        features: F, shape (N, D). No constant is added to them.
        labels: int64, shape (N,); classes without an image do not count.

    Returns:
        A scalar, float64, in nats for each image; the higher the better, and positive values are possible. It does not
        depend on the scale of the features nor on a rotation.

    Raises:
        ValueError: If there are no images or all features are zero.

    >>> round(log_maximum_evidence(torch.ones(4, 1), torch.tensor([0, 0, 1, 1])).item(), 4)
    -1.007
    """
    num = len(features)
    left, singular, _ = torch.linalg.svd(features.double(), full_matrices=False)
    if not singular.any():
        raise ValueError(f"LogME needs images with features other than zero, but got the shape {tuple(features.shape)} and nothing else.")
    targets = F.one_hot(labels).to(left)
    targets = targets[:, targets.any(dim=0)]
    squares = singular.square()[:, None]
    # Of each y, what lies along each direction of the features, and what lies outside of all of them: (D, K) and (K,).
    inside = (left.T @ targets).square()
    outside = (targets.square().sum(dim=0) - inside.sum(dim=0)).clamp_min(0)
    alpha = beta = targets.new_ones(targets.shape[1])

    def fit() -> tuple[Tensor, Tensor]:
        """|w|² and the squared error, with w the mean of its posterior."""
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
    # Directions that the features lack have the prior's precision, which cancels.
    log_determinant = (alpha + beta * squares).log().sum(dim=0) - len(singular) * alpha.log()
    evidence: Tensor = (num * (beta.log() - math.log(2 * math.pi)) - beta * error - alpha * size - log_determinant) / 2
    return evidence.mean() / num
