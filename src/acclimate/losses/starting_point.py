"""Losses that keep a network close to its pretrained state and its new weights small."""

from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.losses.precision import in_float32

# Lower bound of a layer's squared norm, which prevents a division by zero for maps that were all zero.
SMALLEST_SQUARE = 1e-12


@in_float32
def starting_point_distance(weights: Sequence[Tensor], start: Sequence[Tensor]) -> Tensor:
    """Half the squared distance between weights and their values at the start of training.

    The first part of L²-SP, Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional
    Networks", ICML 2018, without its factor α.

    Args:
        weights: Tensors of any shapes. Computed in float32 at least.
        start: Tensors of the same shapes, treated as constants.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: If there are no tensors, or the shapes differ.

    >>> float(starting_point_distance([torch.tensor([1.0, 2.0])], [torch.tensor([1.0, 5.0])]))
    4.5
    """
    if not weights or [w.shape for w in weights] != [s.shape for s in start]:
        raise ValueError(f"Expected tensors of equal shapes, but got {_shapes(weights)} and {_shapes(start)}.")
    return shrinkage([now - then.detach() for now, then in zip(weights, start, strict=True)])


@in_float32
def shrinkage(weights: Sequence[Tensor]) -> Tensor:
    """Half the squared norm of weights: the second part of L²-SP, for new layers, without its factor β.

    Args:
        weights: Tensors of any shapes. Computed in float32 at least.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: If there are no tensors.

    >>> float(shrinkage([torch.tensor([3.0]), torch.tensor([[1.0], [2.0]])]))
    7.0
    """
    if not weights:
        raise ValueError("Expected at least one tensor.")
    return torch.stack([tensor.square().sum() for tensor in weights]).sum() / 2


@in_float32
def feature_map_distance(maps: Sequence[Tensor], start: Sequence[Tensor]) -> Tensor:
    """Half the squared distance between feature maps and those of the pretrained network, relative to their size.

    After DELTA, Li et al., "DELTA: DEep Learning Transfer using Feature Map with Attention for Convolutional Networks",
    ICLR 2019, with equal attention to all channels. Departure: the squared distance of a layer's maps is divided by the
    squared norm of the pretrained maps. The paper's plain distance depends on the scale of the maps, which differs so much
    between layers and architectures that no weight suits two of them; it also grows with the batch size.

    Args:
        maps: One tensor for each layer, of any shape. Computed in float32 at least.
        start: Maps of the pretrained network for the same samples, of the same shapes, treated as constants.

    Returns:
        A scalar, at least 0; a layer whose maps are all zero adds one half.

    Raises:
        ValueError: If there are no maps, or the shapes differ.

    Two layers, one with doubled maps and one unchanged:

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
