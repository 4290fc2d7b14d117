"""Accuracy on the validation inputs of one domain."""

import torch
from torch import Tensor

from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction


class SourceAccuracy(TargetScore):
    """Accuracy on the source, in [0, 1]; it does not use the target."""

    name = "source_accuracy"
    needs_source = True
    needs_target = False
    domains: tuple[Domain, ...] = ("source",)
    correct: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        if labels is not None:
            self.correct += (prediction.logits.argmax(dim=1) == labels).sum()
            # Of several targets, some may have no labels, which are then negative.
            self.total += (labels >= 0).sum()

    def value(self) -> Tensor:
        return self.correct / self.total


class OracleAccuracy(SourceAccuracy):
    """Accuracy on the target, in [0, 1]: an oracle, because it uses target labels."""

    name = "oracle"
    needs_source = False
    needs_target = True
    is_oracle = True
    domains = ("target",)
