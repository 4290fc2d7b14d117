"""Distances between the domains' mean embeddings in a kernel's space: MMD and JMMD."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.losses.distances import squared_distances
from acclimate.losses.precision import in_float32


@in_float32
def bandwidth_family(source: Tensor, target: Tensor, *, factors: Sequence[float]) -> Tensor:
    """Kernel widths that follow the scale of the features, each width² = factor · mean squared distance.

    The mean is over all pairs of different samples of both domains together. The widths are constants for the gradient:
    otherwise the discrepancy could be lowered by spreading the features instead of aligning them.

    Args:
        source: Features, shape (N, D). Computed in float32 at least.
        target: Features, shape (M, D); N + M is at least 2.
        factors: Of the squared width, above 0.

    Returns:
        Shape (F,), above 0, without a gradient.

    Raises:
        ValueError: If the factors are empty or not positive.

    >>> bandwidth_family(torch.tensor([[0.0]]), torch.tensor([[2.0]]), factors=[0.25, 1.0])
    tensor([1., 2.])
    """
    if not factors or min(factors) <= 0:
        raise ValueError(f"factors must be above 0 and at least one, but are {list(factors)}.")
    features = torch.cat([source, target]).detach()
    # Two samples differ by twice the variance on average. Where all coincide, any width does that is not zero.
    mean_distance = (2.0 * features.var(dim=0).sum()).clamp_min(torch.finfo(features.dtype).tiny ** 0.5)
    # One by one, as a tensor of the factors would have to wait for the GPU.
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
        bandwidths: Kernel widths above 0, in the units of the features; each gives exp(-distance² / (2 · width²)). Those
            of a tensor, as `bandwidth_family` gives them, are not checked.

    Returns:
        A scalar of at most 2 that differentiates with respect to both sets.

    Raises:
        ValueError: If a set has fewer than two rows, or the widths are empty or not positive.

    >>> source, target = torch.tensor([[0.0], [0.0]]), torch.tensor([[9e3], [9e3]])
    >>> float(maximum_mean_discrepancy(source, target, bandwidths=[1.0]))
    2.0
    """
    return joint_maximum_mean_discrepancy([source], [target], bandwidths=[bandwidths])


@in_float32
def joint_maximum_mean_discrepancy(
    source: Sequence[Tensor], target: Sequence[Tensor], *, bandwidths: Sequence[Sequence[float] | Tensor]
) -> Tensor:
    """Squared distance between the joint distributions of several layers, whose kernels are multiplied (JMMD).

    Long et al., "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017, with the unbiased estimate of
    `maximum_mean_discrepancy` in place of the paper's, so a single value may be slightly negative. With one layer it is
    `maximum_mean_discrepancy`.

    Args:
        source: Each layer's activations for the same N samples, shapes (N, D₁), (N, D₂), …; N at least 2.
        target: The same layers for M samples, M at least 2; M may differ from N.
        bandwidths: Kernel widths for each layer, in its units.

    Returns:
        A scalar of at most 2 that differentiates with respect to all activations.

    Raises:
        ValueError: If a domain has fewer than two samples, the layers do not match, or widths are empty or not positive.
    """
    if not len(source) == len(target) == len(bandwidths) > 0:
        raise ValueError(f"Expected equally many layers, but got {len(source)}, {len(target)} and bandwidths for {len(bandwidths)}.")
    if min(len(source[0]), len(target[0])) < 2:
        raise ValueError(f"Each domain needs two samples, but they have {len(source[0])} and {len(target[0])}.")
    return (
        _mean_of_pairs(_joint_kernel(source, source, bandwidths))
        + _mean_of_pairs(_joint_kernel(target, target, bandwidths))
        - 2.0 * _joint_kernel(source, target, bandwidths).mean()
    )


def _mean_of_pairs(kernel: Tensor) -> Tensor:
    """The mean without the diagonal: a sample beside itself is what biases the estimate."""
    num = len(kernel)
    # The gradient of a trace makes the processor wait for the GPU.
    return (kernel.sum() - kernel.diagonal().sum()) / (num * (num - 1))


def _joint_kernel(first: Sequence[Tensor], second: Sequence[Tensor], bandwidths: Sequence[Sequence[float] | Tensor]) -> Tensor:
    """The product over layers of the mean Gaussian kernel, shape (N, M)."""
    kernels = [_gaussian_kernel(squared_distances(a, b), widths) for a, b, widths in zip(first, second, bandwidths, strict=True)]
    # Not by prod, whose gradient makes the processor wait for the GPU.
    return functools.reduce(torch.mul, kernels)


def _gaussian_kernel(distances: Tensor, bandwidths: Sequence[float] | Tensor) -> Tensor:
    widths = torch.as_tensor(bandwidths, dtype=distances.dtype, device=distances.device)
    # Of a tensor a look at its values would wait for the device in every step.
    if widths.numel() == 0 or not (isinstance(bandwidths, Tensor) or all(width > 0 for width in bandwidths)):
        raise ValueError(f"bandwidths must be above 0 and at least one, but are {widths.tolist()}.")
    return torch.exp(-distances / (2.0 * widths.square()[:, None, None])).mean(dim=0)
