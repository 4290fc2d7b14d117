"""The multilinear map of features and class probabilities."""

import math

import torch
from torch import Tensor, nn


class MultilinearMap(nn.Module):
    """The outer product of features and class probabilities, or a random projection of it if it is large.

    Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018, Eq. 4 to 6. The random matrices are drawn
    once and stored as buffers, because a resumed run must use the same ones.

    Args:
        num_features: D, the number of features.
        num_classes: K, the number of classes.
        max_outputs: Largest D · K for which the outer product is used as it is; 4096 in the paper.
        num_random: Width of the random projection, 1024 in the published code.
    """

    random_features: Tensor | None
    random_probabilities: Tensor | None

    def __init__(self, num_features: int, num_classes: int, *, max_outputs: int = 4096, num_random: int = 1024) -> None:
        super().__init__()
        is_random = num_features * num_classes > max_outputs
        self.num_outputs = num_random if is_random else num_features * num_classes
        # Gaussian, as in the published code; the paper allows any symmetric distribution with unit variance.
        self.register_buffer("random_features", torch.randn(num_features, num_random) if is_random else None)
        self.register_buffer("random_probabilities", torch.randn(num_classes, num_random) if is_random else None)

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        """Map features, shape (N, D), and probabilities, shape (N, K), to shape (N, num_outputs)."""
        if self.random_features is None or self.random_probabilities is None:
            return (probabilities[:, :, None] * features[:, None, :]).flatten(start_dim=1)
        projected = (features @ self.random_features) * (probabilities @ self.random_probabilities)
        return projected / math.sqrt(self.num_outputs)
