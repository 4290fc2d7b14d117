"""Networks that must not learn: calls without a gradient for the weights, and fixed copies."""

import copy
from typing import Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from acclimate.errors import ConfigError


def call_with_fixed_weights(network: nn.Module, inputs: Tensor) -> Tensor:
    """Call a network such that its inputs receive a gradient and its weights do not."""
    outputs: Tensor = functional_call(network, {name: weight.detach() for name, weight in network.named_parameters()}, (inputs,))
    return outputs


class FixedCopy(nn.Module):
    """A fixed copy of a network, always in evaluation mode and part of checkpoints.

    Args:
        network: The network to copy; later changes to it do not affect the copy.

    Raises:
        ConfigError: If the network has no weights, so that it stays equal to its copy.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not any(True for _ in network.parameters()):
            raise ConfigError("This method keeps the backbone near its start, but the backbone has no weights. Use method=fine_tune.")
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the network without a gradient."""
        outputs: Tensor = self.network(inputs)
        return outputs

    def train(self, mode: bool = True) -> Self:
        return super().train(False)
