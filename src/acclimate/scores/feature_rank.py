"""Effective rank of the target's features."""

import torch
from torch import Tensor

from acclimate.losses.target_predictions import entropy
from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction

# Rows per product: large enough to be fast, small enough for a copy in float64.
BLOCK = 2048
# Singular values caused by float32 rounding in directions without features, relative to the norm of all features.
ROUNDING = 1e-6


def effective_rank(second_moments: Tensor) -> Tensor:
    """Exponential of the entropy of the singular values, normalised to a sum of one.

    RankMe of Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations
    by Their Rank", ICML 2023. As in the paper, features are not centred. The singular values are computed from the D × D
    matrix of second moments, which needs less memory than the N × D features. Each is reduced by 1e-6 of the norm of all
    features, but not below 0: otherwise many directions with nothing but rounding errors would add up to a higher rank.

    Args:
        second_moments: ZᵀZ of the features Z in float64, shape (D, D).

    Returns:
        A scalar in [1, min(N, D)]; 0 if all features are zero.

    >>> round(effective_rank(torch.eye(3, dtype=torch.float64)).item(), 4)
    3.0
    """
    singular_values = torch.linalg.eigvalsh(second_moments).clamp_min(0).sqrt()
    singular_values = (singular_values - ROUNDING * second_moments.trace().sqrt()).clamp_min(0)
    total = singular_values.sum()
    return entropy((singular_values / total).log()).exp() if total > 0 else total


class RankMe(TargetScore):
    """`effective_rank` of the features of all target inputs, in [1, min(N, D)].

    It uses neither the head nor the classes. Only runs of one architecture are comparable: wider features have higher ranks.
    """

    name = "rankme"
    needs_head = False
    second_moments: Tensor
    waiting: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("second_moments", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("waiting", [], dist_reduce_fx="cat")

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        self.waiting.append(prediction.features.float())
        if self.second_moments.ndim == 0:
            # A sum over devices needs the same shape on all of them.
            self.second_moments = self.second_moments.new_zeros(2 * prediction.features.shape[1:])
        if sum(map(len, self.waiting)) >= BLOCK:
            self.second_moments += _products(self.waiting)
            self.waiting = []

    def value(self) -> Tensor:
        # After gathering from several devices, this state is a tensor instead of a list.
        waiting = [self.waiting] if isinstance(self.waiting, Tensor) else self.waiting
        total = self.second_moments + _products(waiting) if waiting else self.second_moments
        return effective_rank(total).float()


def _products(features: list[Tensor]) -> Tensor:
    rows = torch.cat(features).double()
    return rows.T @ rows
