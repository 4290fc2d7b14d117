"""The mean of several scores."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction


class MeanScore(TargetScore):
    """Mean of several scores, which should have the same range, such as [0, 1].

    Args:
        scores: One or more scores.
        name: Name of the mean in reports.

    Attributes:
        values: Values of all scores in the last `compute`, shape (S,).

    Raises:
        ValueError: If there is no score.
    """

    domains = ("source", "target")
    values: Tensor

    def __init__(self, scores: Sequence[TargetScore], *, name: str) -> None:
        super().__init__()
        if not scores:
            raise ValueError("scores must name at least one score.")
        self.scores = cast(Sequence[TargetScore], torch.nn.ModuleList(scores))
        self.name = name
        self.needs_source = any(score.needs_source for score in scores)
        self.needs_target = any(score.needs_target for score in scores)
        self.is_oracle = any(score.is_oracle for score in scores)

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        for score in self.scores:
            score.update(domain, prediction, labels)

    def value(self) -> Tensor:
        self.values = torch.stack([score.compute().float() for score in self.scores])
        return self.values.mean()

    def reset(self) -> None:
        super().reset()
        for score in self.scores:
            score.reset()
