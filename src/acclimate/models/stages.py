"""Stages of a backbone by depth, for layer-wise learning rates and gradual unfreezing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """Consecutive layers of a backbone.

    Args:
        layers: The layers: the first has weights, and the others only normalise, activate or pool its outputs.
        parameters: Parameters of the layers; in the first stage also those of the body itself, such as position embeddings.
    """

    layers: list[nn.Module]
    parameters: list[nn.Parameter]


def stages(body: nn.Module) -> list[Stage]:
    """Divide a network into stages, from the inputs to the features; every parameter is in exactly one of them.

    The stages are its children in the order of their creation, which for backbones is the order of computation.
    Normalisation and layers without weights belong to the stage before them. A single container of blocks, such as that of a
    vision transformer, is replaced by its children. A ResNet therefore has its stem and four stages, EfficientNet-Lite0 its
    stem, seven groups of blocks and the last convolution, and a transformer its patch embedding and each block.

    >>> [len(stage.layers) for stage in stages(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 4)))]
    [3, 1]
    """
    layers = list(body.children())
    while len(containers := [layer for layer in layers if _holds_blocks(layer)]) == 1:
        place = layers.index(containers[0])
        layers[place : place + 1] = containers[0].children()
    found: list[Stage] = []
    for layer in layers:
        if not found or _has_weights(layer):
            found.append(Stage([], []))
        found[-1].layers.append(layer)
        found[-1].parameters.extend(layer.parameters())
    own = list(body.parameters(recurse=False))
    if own:
        found = found or [Stage([body], [])]
        found[0].parameters[:0] = own
    return found


def _has_weights(layer: nn.Module) -> bool:
    """Return True if a layer does more than normalise: scales and shifts are vectors, unlike weights."""
    return any(parameter.ndim > 1 for parameter in layer.parameters())


def _holds_blocks(layer: nn.Module) -> bool:
    """Return True for a container whose elements consist of layers themselves."""
    if not isinstance(layer, nn.Sequential | nn.ModuleList):
        return False
    return any(_has_weights(inner) for block in layer.children() for inner in block.children())


def weighted_layers(body: nn.Module) -> list[nn.Module]:
    """Return the layer with the weights of each stage."""
    return [stage.layers[0] for stage in stages(body)]


@contextmanager
def recorded_outputs(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Context manager that yields a list to which every pass appends the outputs of the layers, in the order of computation."""
    outputs: list[Tensor] = []
    handles = [layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output)) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
