"""Networks that must not learn: calls that leave no gradient, and copies that stay as they are."""

import copy
from typing import Self

import torch
from torch import Tensor, nn
from torch.func import functional_call


def call_with_fixed_weights(network: nn.Module, inputs: Tensor) -> Tensor:
    """What a network says of its inputs; a gradient reaches the inputs, but none of its weights."""
    outputs: Tensor = functional_call(network, {name: weight.detach() for name, weight in network.named_parameters()}, (inputs,))
    return outputs


class FixedCopy(nn.Module):
    """A network as it is now, in evaluation mode for ever; checkpoints hold it.

    Args:
        network: What is copied; it may go on learning.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """What the network says of its inputs, without a gradient."""
        outputs: Tensor = self.network(inputs)
        return outputs

    def train(self, mode: bool = True) -> Self:
        return super().train(False)
