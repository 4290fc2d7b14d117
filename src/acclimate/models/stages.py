"""The stages of a backbone by depth: what learning rates by depth and gradual unfreezing count in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """Layers of a backbone that follow each other.

    Args:
        layers: The first has weights, and what follows only normalises, activates or pools what it gives.
        parameters: Those of the layers; in the first stage also what the body holds itself, such as position embeddings.
    """

    layers: list[nn.Module]
    parameters: list[nn.Parameter]


def stages(body: nn.Module) -> list[Stage]:
    """Divides a network into stages, from the image to the features; every parameter is in one of them.

    They are its children, in the order in which they were made, which for backbones is the order in which they compute.
    Normalisation and what has no weights join the stage in front of them. A container of blocks that has no such container
    beside it, such as the blocks of a vision transformer, is replaced by its children. So a ResNet has its stem and
    four stages, EfficientNet-Lite0 its stem, seven groups of blocks and the last convolution, and a transformer its patch
    embedding and every block.

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
    """Whether it does more than normalise; scales and shifts are vectors, and weights are not."""
    return any(parameter.ndim > 1 for parameter in layer.parameters())


def _holds_blocks(layer: nn.Module) -> bool:
    """Whether it is a container, and what it holds is made of layers itself."""
    if not isinstance(layer, nn.Sequential | nn.ModuleList):
        return False
    return any(_has_weights(inner) for block in layer.children() for inner in block.children())


def weighted_layers(body: nn.Module) -> list[nn.Module]:
    """Return the layer of each stage that has its weights."""
    return [stage.layers[0] for stage in stages(body)]


@contextmanager
def recorded_outputs(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Inside, every pass appends the outputs of these layers, in the order in which they compute."""
    outputs: list[Tensor] = []
    handles = [layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output)) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
