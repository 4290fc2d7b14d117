"""The critic that estimates the Wasserstein distance between domains."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DomainCritic(nn.Module):
    """A perceptron with one hidden layer that gives one unbounded score per sample.

    The architecture is that of the published code of Shen et al., "Wasserstein Distance Guided Representation Learning for
    Domain Adaptation", AAAI 2018. The last layer has no bias, because only differences of scores count.

    Args:
        num_features: Width of the input, shape (N, num_features); the output has shape (N, 1).
        width: Width of the hidden layer.
    """

    def __init__(self, num_features: int, *, width: int = 100) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, width)
        self.output = nn.Linear(width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        # bfloat16 has too few digits for a small difference of large scores and for a gradient of a gradient.
        with torch.autocast(features.device.type, enabled=False):
            scores: Tensor = self.output(F.relu(self.hidden(features.to(self.hidden.weight.dtype))))
        return scores
