"""LoRA: frozen weights with trainable low-rank updates."""

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.utils import parametrize

from acclimate.errors import ConfigError

# Suffixes that torch adds to the name of a layer for its original weight and for the factors of the update.
ORIGINAL, DOWN, UP = (f"parametrizations.weight.{name}" for name in ("original", "0.down", "0.up"))


class LowRankUpdate(nn.Module):
    """Low-rank update B · A that is added to a weight.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, section 4.1. A is random and B is zero, so
    training starts from the weight itself. The weight of a convolution is treated as the matrix that maps patches to
    outputs; the authors' code has another layout for it, with a rank that is multiplied by the height of the filter.

    The paper scales the update by α / r, with α fixed to the first value of r, so the factor is 1 here. According to the
    paper, tuning α under Adam is equivalent to tuning the learning rate, which is `method.backbone_rate` here.

    Args:
        weight: The weight to update, shape (M, ...).
        rank: r, at least 1.
    """

    def __init__(self, weight: Tensor, *, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(weight.new_empty(rank, weight[0].numel()))
        self.up = nn.Parameter(weight.new_zeros(len(weight), rank))
        # As in the published code; the paper uses a Gaussian.
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight, of the same shape."""
        return add_update(weight, self.down, self.up)


def add_update(weight: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """Return W + B · A in the shape of W.

    Args:
        weight: W, shape (M, ...), with N entries in each row.
        down: A, shape (r, N).
        up: B, shape (M, r).

    >>> import torch
    >>> add_update(torch.ones(2, 2), torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0], [3.0]]))
    tensor([[1., 1.],
            [4., 7.]])
    """
    return weight + (up @ down).view_as(weight)


def add_low_rank_updates(module: nn.Module, *, rank: int) -> None:
    """Freeze a module and add trainable low-rank updates to its linear and convolutional layers.

    Grouped convolutions get none: a depthwise filter sees one channel, so there is no large matrix whose change could have
    a low rank. Batch norm keeps its weights and biases; the method determines whether its statistics change.

    Args:
        module: The module, changed in place; its outputs do not change.
        rank: r, at least 1.

    Raises:
        ConfigError: If no layer can have an update.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)]
    if not layers:
        raise ConfigError("model.lora_rank needs linear or convolution layers, and the backbone has none. Use model.lora_rank=null.")
    module.requires_grad_(False)
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRankUpdate(layer.weight, rank=rank))


def merge_low_rank_updates(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of the same network without updates, whose outputs are equal up to rounding.

    Args:
        tensors: The state dict of a module with or without updates, which is not modified.
    """
    merged = {}
    for name, tensor in tensors.items():
        layer = name.removesuffix(ORIGINAL)
        if layer != name:
            merged[f"{layer}weight"] = add_update(tensor, tensors[layer + DOWN], tensors[layer + UP])
        elif not name.endswith((DOWN, UP)):
            merged[name] = tensor
    return merged
