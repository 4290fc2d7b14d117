"""How many directions the features of the target use."""

from typing import ClassVar

import torch
from torch import Tensor

from acclimate.losses.target_predictions import entropy
from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction

# Rows whose products are summed at once: a product of a large block is faster, and its copy in float64 stays small.
BLOCK = 2048
# Singular values that rounding in float32 gives to directions without features, relative to the norm of all features.
ROUNDING = 1e-6


def effective_rank(second_moments: Tensor) -> Tensor:
    """The exponential of the entropy of the singular values, once they are made to sum to one.

    RankMe of Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations
    by Their Rank", ICML 2023. As there, features are not centred. Singular values come from the D × D matrix of second
    moments, which takes less memory than the N × D features. Each is lessened by 1e-6 of the norm of all features and
    is at least 0, as many directions with nothing but rounding errors would otherwise add up to a higher rank.

    Args:
        second_moments: ZᵀZ of the features Z in float64, shape (D, D).

    Returns:
        A scalar in [1, min(N, D)]; 0 where all features are zero.

    >>> round(effective_rank(torch.eye(3, dtype=torch.float64)).item(), 4)
    3.0
    """
    singular_values = torch.linalg.eigvalsh(second_moments).clamp_min(0).sqrt()
    singular_values = (singular_values - ROUNDING * second_moments.trace().sqrt()).clamp_min(0)
    total = singular_values.sum()
    return entropy((singular_values / total).log()).exp() if total > 0 else total


class RankMe(TargetScore):
    """`effective_rank` of the features of all target images, in [1, min(N, D)].

    It looks neither at the head nor at classes. It compares runs of one architecture; a wider layer has more directions.
    """

    name = "rankme"
    needs_head: ClassVar[bool] = False
    second_moments: Tensor
    waiting: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("second_moments", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("waiting", [], dist_reduce_fx="cat")

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        self.waiting.append(prediction.features.float())
        if self.second_moments.ndim == 0:
            # Devices can add up only what has one shape on all of them.
            self.second_moments = self.second_moments.new_zeros(2 * prediction.features.shape[1:])
        if sum(map(len, self.waiting)) >= BLOCK:
            self.second_moments += _products(self.waiting)
            self.waiting = []

    def value(self) -> Tensor:
        # What waits is one tensor where several devices have put theirs together.
        waiting = [self.waiting] if isinstance(self.waiting, Tensor) else self.waiting
        total = self.second_moments + _products(waiting) if waiting else self.second_moments
        return effective_rank(total).float()


def _products(features: list[Tensor]) -> Tensor:
    rows = torch.cat(features).double()
    return rows.T @ rows
