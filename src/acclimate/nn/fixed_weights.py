"""Calls of a network that must not learn from them."""

from torch import Tensor, nn
from torch.func import functional_call


def call_with_fixed_weights(network: nn.Module, inputs: Tensor) -> Tensor:
    """What a network says of its inputs; a gradient reaches the inputs, but none of its weights."""
    outputs: Tensor = functional_call(network, {name: weight.detach() for name, weight in network.named_parameters()}, (inputs,))
    return outputs
