"""The Wasserstein distance between the features of two domains, estimated by a critic."""

from collections.abc import Callable

import torch
from torch import Tensor

from acclimate.losses.precision import in_float32


@in_float32
def wasserstein_estimate(source_scores: Tensor, target_scores: Tensor) -> Tensor:
    """Difference between a critic's mean scores of the source and of the target.

    For a 1-Lipschitz critic it is at most the Wasserstein distance, and equal to it for the best such critic. From Shen et
    al., "Wasserstein Distance Guided Representation Learning for Domain Adaptation", AAAI 2018.

    Args:
        source_scores: Shape (N, 1) or (N,), N at least 1. Computed in float32 at least.
        target_scores: Shape (M, 1) or (M,); M may differ from N.

    Returns:
        A scalar of any sign: a poor critic may score the target higher.

    Raises:
        ValueError: If there is more than one score per sample, or a domain has no samples.

    >>> float(wasserstein_estimate(torch.tensor([[3.0], [5.0]]), torch.tensor([[1.0]])))
    3.0
    """
    for scores in (source_scores, target_scores):
        if scores.numel() == 0 or scores.shape not in {(scores.numel(),), (scores.numel(), 1)}:
            raise ValueError(f"Expected one score per sample, shape (N, 1) or (N,), N at least 1, but got {tuple(scores.shape)}.")
    return source_scores.mean() - target_scores.mean()


@in_float32
def interpolates(source: Tensor, target: Tensor, *, positions: Tensor) -> Tensor:
    """Points on the lines between source and target features.

    Samples are paired in order, since training shuffles them; the smaller domain is repeated to the length of the larger one.

    Args:
        source: Features, shape (N, D).
        target: Features, shape (M, D); M may differ from N.
        positions: Position of each point on its line, shape (max(N, M),), from 0 at the target to 1 at the source.

    Returns:
        Shape (max(N, M), D).

    Raises:
        ValueError: If a domain has no row, or the shapes do not match.

    >>> interpolates(torch.tensor([[4.0]]), torch.tensor([[0.0], [8.0]]), positions=torch.tensor([0.5, 0.25])).tolist()
    [[2.0], [7.0]]
    """
    num = max(len(source), len(target))
    is_matrix = source.ndim == target.ndim == 2 and min(len(source), len(target)) > 0
    if not is_matrix or source.shape[1] != target.shape[1] or positions.shape != (num,):
        raise ValueError(
            "Expected source (N, D), target (M, D) and positions (max(N, M),), N and M at least 1, "
            f"but got {tuple(source.shape)}, {tuple(target.shape)} and {tuple(positions.shape)}."
        )
    rows = torch.arange(num, device=source.device)
    return torch.lerp(target[rows % len(target)], source[rows % len(source)], positions[:, None].to(source.dtype))


def gradient_penalty(critic: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """Mean squared difference between the gradient norm of a critic and 1: the mean of (|∇critic(h)| - 1)².

    Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017. Where the gradient is exactly 0, for example
    because no unit is active, the penalty is 1 and has a gradient of 0 instead of NaN.

    Args:
        critic: Function from features to scores, shape (N, 1) or (N,); each score depends on its own row alone.
        features: Points at which the gradient is taken, shape (N, D), N at least 1, treated as constants. They are passed
            on in their own precision; those of `interpolates` are float32.

    Returns:
        A scalar, at least 0, differentiable with respect to the critic's weights.

    Raises:
        ValueError: If the features are not a matrix with at least one row.

    >>> float(gradient_penalty(lambda features: 3.0 * features[:, 0], torch.zeros(2, 5)))
    4.0
    """
    if features.ndim != 2 or len(features) == 0:
        raise ValueError(f"Expected features of shape (N, D), N at least 1, but got {tuple(features.shape)}.")
    with torch.enable_grad():
        points = features.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return _distance_from_slope_one(slopes)


@in_float32
def _distance_from_slope_one(slopes: Tensor) -> Tensor:
    squares = slopes.square().sum(dim=1)
    # The square root has no finite derivative at 0, and a single where() would multiply that by 0, which is NaN.
    is_flat = squares == 0
    norms = torch.where(is_flat, 0.0, torch.where(is_flat, 1.0, squares).sqrt())
    return (norms - 1.0).square().mean()
