"""Losses that keep a network near to what it was before training, or its new weights small."""

from collections.abc import Sequence

import torch
from torch import Tensor


def starting_point_distance(weights: Sequence[Tensor], start: Sequence[Tensor]) -> Tensor:
    """Half the squared distance of weights to those that training started from.

    The first part of L²-SP, Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks", ICML 2018, without its factor α.

    Args:
        weights: Tensors of any shapes. Computed in float32 at least.
        start: As many of the same shapes; no gradient reaches them.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: If there are none, or the shapes differ.

    >>> float(starting_point_distance([torch.tensor([1.0, 2.0])], [torch.tensor([1.0, 5.0])]))
    4.5
    """
    if not weights or [w.shape for w in weights] != [s.shape for s in start]:
        raise ValueError(f"Expected tensors of equal shapes, but got {_shapes(weights)} and {_shapes(start)}.")
    return shrinkage([_precise(now) - _precise(then.detach()) for now, then in zip(weights, start, strict=True)])


def shrinkage(weights: Sequence[Tensor]) -> Tensor:
    """Half the squared norm of weights: the second part of L²-SP, for layers that are new, without its factor β.

    Args:
        weights: Tensors of any shapes. Computed in float32 at least.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: If there are none.

    >>> float(shrinkage([torch.tensor([3.0]), torch.tensor([[1.0], [2.0]])]))
    7.0
    """
    if not weights:
        raise ValueError("Expected at least one tensor.")
    return torch.stack([_precise(tensor).square().sum() for tensor in weights]).sum() / 2


def feature_map_distance(maps: Sequence[Tensor], start: Sequence[Tensor]) -> Tensor:
    """Half the squared distance of feature maps to those of the network that training started from.

    DELTA, Li et al., "DELTA: DEep Learning Transfer using Feature Map with Attention for Convolutional Networks", ICLR
    2019, with equal attention to all channels: squared differences are averaged over the positions of a map, as in the
    published code, and summed over channels and layers. Departure: the mean over the samples is taken and not their sum,
    so that the value does not grow with the batch.

    Args:
        maps: One tensor for each layer, shape (N, C, ...), with any positions behind the channels, or none. Computed in
            float32 at least.
        start: As many of the same shapes, for the same samples; no gradient reaches them.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: If there are none, the shapes differ, or a map has no channels.

    Two samples, one channel with two positions, each off by 2:

    >>> float(feature_map_distance([torch.zeros(2, 1, 2)], [torch.full((2, 1, 2), 2.0)]))
    2.0
    """
    if not maps or [m.shape for m in maps] != [s.shape for s in start] or any(m.ndim < 2 for m in maps):
        raise ValueError(f"Expected feature maps of equal shapes (N, C, ...), but got {_shapes(maps)} and {_shapes(start)}.")
    # numel / C is the number of samples times that of positions.
    distances = [
        (_precise(now) - _precise(then.detach())).square().sum() * now.shape[1] / now.numel() for now, then in zip(maps, start, strict=True)
    ]
    return torch.stack(distances).sum() / 2


def _precise(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _shapes(tensors: Sequence[Tensor]) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in tensors]
