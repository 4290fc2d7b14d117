"""MMD and JMMD: distances between the domains' mean embeddings in a kernel space."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.losses.distances import squared_distances
from acclimate.losses.precision import in_float32


@in_float32
def bandwidth_family(source: Tensor, target: Tensor, *, factors: Sequence[float]) -> Tensor:
    """Kernel widths that follow the scale of the features: width² = factor · mean squared distance.

    The mean is over all pairs of different samples of both domains together. The widths are constants for the gradient:
    otherwise the discrepancy could be lowered by spreading the features instead of aligning them.

    Args:
        source: Features, shape (N, D). Computed in float32 at least.
        target: Features, shape (M, D); N + M is at least 2.
        factors: Factors of the squared width, above 0.

    Returns:
        Shape (F,), above 0, without a gradient.

    Raises:
        ValueError: If there are no factors or one is not positive.

    >>> bandwidth_family(torch.tensor([[0.0]]), torch.tensor([[2.0]]), factors=[0.25, 1.0])
    tensor([1., 2.])
    """
    if not factors or min(factors) <= 0:
        raise ValueError(f"factors must be one or more numbers above 0, but are {list(factors)}.")
    features = torch.cat([source, target]).detach()
    # The mean squared distance of two samples is twice the variance. If all coincide, any width above zero will do.
    mean_distance = (2.0 * features.var(dim=0).sum()).clamp_min(torch.finfo(features.dtype).tiny ** 0.5)
    # One by one, because creating a tensor of the factors would synchronise with the GPU.
    return torch.stack([mean_distance * factor for factor in factors]).sqrt()


@in_float32
def maximum_mean_discrepancy(source: Tensor, target: Tensor, *, bandwidths: Sequence[float] | Tensor) -> Tensor:
    """Squared distance between two sets of features in the mean embedding of averaged Gaussian kernels.

    The unbiased estimate of Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, Eq. 3: its mean is zero when
    both sets come from one distribution, so a single value may be slightly negative. Averaging kernels of several
    widths is the MK-MMD of Long et al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015,
    with equal weights of the kernels.

    Args:
        source: Features, shape (N, D), N at least 2. Computed in float32 at least.
        target: Features, shape (M, D), M at least 2; M may differ from N.
        bandwidths: Kernel widths above 0, in the units of the features, for kernels exp(-distance² / (2 · width²)). The
            values of a tensor, such as that of `bandwidth_family`, are not checked.

    Returns:
        A scalar of at most 2, differentiable with respect to both sets.

    Raises:
        ValueError: If a set has fewer than two rows, there are no widths, or one is not positive.

    >>> source, target = torch.tensor([[0.0], [0.0]]), torch.tensor([[9e3], [9e3]])
    >>> float(maximum_mean_discrepancy(source, target, bandwidths=[1.0]))
    2.0
    """
    return joint_maximum_mean_discrepancy([source], [target], bandwidths=[bandwidths])


@in_float32
def joint_maximum_mean_discrepancy(
    source: Sequence[Tensor], target: Sequence[Tensor], *, bandwidths: Sequence[Sequence[float] | Tensor]
) -> Tensor:
    """Joint maximum mean discrepancy (JMMD): squared distance between the joint distributions of several layers.

    Long et al., "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017: the kernels of the layers are
    multiplied. The estimate is the unbiased one of `maximum_mean_discrepancy` instead of the paper's, so a single value may
    be slightly negative. For one layer the two functions are equal.

    Args:
        source: Activations of each layer for the same N samples, shapes (N, D₁), (N, D₂), …; N at least 2.
        target: The same layers for M samples, M at least 2; M may differ from N.
        bandwidths: Kernel widths for each layer, in its units.

    Returns:
        A scalar of at most 2, differentiable with respect to all activations.

    Raises:
        ValueError: If a domain has fewer than two samples, the layers do not match, or a layer's widths are missing or not
            positive.
    """
    if not len(source) == len(target) == len(bandwidths) > 0:
        raise ValueError(
            "Expected the same number of layers in source, target and bandwidths, "
            f"but got {len(source)}, {len(target)} and {len(bandwidths)}."
        )
    if min(len(source[0]), len(target[0])) < 2:
        raise ValueError(f"Each domain needs two samples, but they have {len(source[0])} and {len(target[0])}.")
    return (
        mean_of_pairs(_joint_kernel(source, source, bandwidths))
        + mean_of_pairs(_joint_kernel(target, target, bandwidths))
        - 2.0 * _joint_kernel(source, target, bandwidths).mean()
    )


@in_float32
def mean_of_pairs(kernel: Tensor) -> Tensor:
    """Mean of a kernel of samples with themselves, shape (N, N), without its diagonal, which would bias the estimate."""
    num = len(kernel)
    # The gradient of a trace would synchronise with the GPU.
    return (kernel.sum() - kernel.diagonal().sum()) / (num * (num - 1))


def _joint_kernel(first: Sequence[Tensor], second: Sequence[Tensor], bandwidths: Sequence[Sequence[float] | Tensor]) -> Tensor:
    """Product over layers of the mean Gaussian kernel, shape (N, M)."""
    kernels = [_gaussian_kernel(squared_distances(a, b), widths) for a, b, widths in zip(first, second, bandwidths, strict=True)]
    # Not torch.prod, whose gradient would synchronise with the GPU.
    return functools.reduce(torch.mul, kernels)


def _gaussian_kernel(distances: Tensor, bandwidths: Sequence[float] | Tensor) -> Tensor:
    widths = torch.as_tensor(bandwidths, dtype=distances.dtype, device=distances.device)
    # Checking the values of a tensor would synchronise with the device in every step.
    if widths.numel() == 0 or not (isinstance(bandwidths, Tensor) or all(width > 0 for width in bandwidths)):
        raise ValueError(f"bandwidths must be one or more numbers above 0, but are {widths.tolist()}.")
    return torch.exp(-distances / (2.0 * widths.square()[:, None, None])).mean(dim=0)
