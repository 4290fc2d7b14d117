"""The first convolution of a network for images of other channels than RGB."""

import math

import torch
from torch import Tensor, nn


def adapted(weight: Tensor, channels: int) -> Tensor:
    """Adapt the weights of a convolution of RGB to other channels, as timm does.

    One channel gets the sum of those of the three colours. More take them in turn, scaled so that equal channels give the same
    output as before.

    Args:
        weight: Shape (M, 3, H, W).
        channels: C, at least 1.

    Returns:
        Shape (M, C, H, W).

    >>> adapted(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1), 1).flatten()
    tensor([6.])
    >>> adapted(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1), 6).flatten()
    tensor([0.5000, 1.0000, 1.5000, 0.5000, 1.0000, 1.5000])
    """
    if channels == 3:
        return weight
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight.repeat(1, math.ceil(channels / 3), 1, 1)[:, :channels] * (3 / channels)


def in_turn(values: list[float], channels: int) -> list[float]:
    """Return the mean or the deviation of each channel, which go with the weights of `adapted`.

    >>> in_turn([1.0, 2.0, 3.0], 5), in_turn([1.0, 2.0, 3.0], 1)
    ([1.0, 2.0, 3.0, 1.0, 2.0], [2.0])
    """
    return [sum(values) / len(values)] if channels == 1 else [values[place % len(values)] for place in range(channels)]


def replace_first_convolution(body: nn.Module, channels: int, *, pretrained: bool) -> None:
    """Replace the first convolution of a network for RGB by one for other channels.

    Args:
        body: The network, which is changed in place.
        channels: C, at least 1.
        pretrained: Whether to adapt its weights; otherwise they are drawn anew.
    """
    name, first = next((name, module) for name, module in body.named_modules() if isinstance(module, nn.Conv2d))
    convolution = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    with torch.no_grad():
        if pretrained:
            convolution.weight.copy_(adapted(first.weight, channels))
        else:
            # As torchvision does.
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        if first.bias is not None and convolution.bias is not None:
            convolution.bias.copy_(first.bias)
    parent, _, own = name.rpartition(".")
    setattr(body.get_submodule(parent), own, convolution)
