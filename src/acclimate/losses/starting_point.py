"""Losses that keep a network near to what it was before training, or its new weights small."""

from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.losses.precision import in_float32

# What maps that were zero throughout are taken to have been, so that nothing is divided by zero.
SMALLEST_SQUARE = 1e-12


@in_float32
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
    return shrinkage([now - then.detach() for now, then in zip(weights, start, strict=True)])


@in_float32
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
    return torch.stack([tensor.square().sum() for tensor in weights]).sum() / 2


@in_float32
def feature_map_distance(maps: Sequence[Tensor], start: Sequence[Tensor]) -> Tensor:
    """Half the squared distance of feature maps to those of the network that training started from, relative to their size.

    After DELTA, Li et al., "DELTA: DEep Learning Transfer using Feature Map with Attention for Convolutional Networks",
    ICLR 2019, with equal attention to all channels. Departure: the squared distance of a layer's maps is divided by their
    squared norm at the start. The paper's plain distance depends on the scale of the maps, by which layers and
    architectures differ so much that no weight fits two of them; it also grows with the batch.

    Args:
        maps: One tensor for each layer, of any shape. Computed in float32 at least.
        start: As many of the same shapes, for the same samples; no gradient reaches them.

    Returns:
        A scalar, at least 0; each layer in which all maps became zero would add one half.

    Raises:
        ValueError: If there are none, or the shapes differ.

    Two layers, one twice as large as it was and one as it was:

    >>> first, second = torch.tensor([[3.0, 1.0]]), torch.tensor([[5.0]])
    >>> float(feature_map_distance([2 * first, second], [first, second]))
    0.5
    """
    if not maps or [m.shape for m in maps] != [s.shape for s in start]:
        raise ValueError(f"Expected tensors of equal shapes, but got {_shapes(maps)} and {_shapes(start)}.")
    distances = []
    for now, then in zip(maps, start, strict=True):
        fixed = then.detach()
        distances.append((now - fixed).square().sum() / fixed.square().sum().clamp_min(SMALLEST_SQUARE))
    return torch.stack(distances).sum() / 2


def _shapes(tensors: Sequence[Tensor]) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in tensors]
