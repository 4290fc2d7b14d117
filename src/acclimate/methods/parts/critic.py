"""The network whose scores of source and target are as far apart as its slope allows."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DomainCritic(nn.Module):
    """A perceptron with one hidden layer that gives one unbounded score per sample.

    The shape is that of the published code of Shen et al., "Wasserstein Distance Guided Representation Learning for
    Domain Adaptation", AAAI 2018. The last layer has no bias: only differences of scores count, and a constant cancels.

    Args:
        num_features: Width of its input (N, num_features); its output is (N, 1).
        width: Width of the hidden layer.
    """

    def __init__(self, num_features: int, *, width: int = 100) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, width)
        self.output = nn.Linear(width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        # A small difference of large scores, and a gradient of a gradient: bfloat16 has too few digits for either.
        with torch.autocast(features.device.type, enabled=False):
            scores: Tensor = self.output(F.relu(self.hidden(features.to(self.hidden.weight.dtype))))
        return scores
