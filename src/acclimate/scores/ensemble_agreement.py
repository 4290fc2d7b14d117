"""Agreement of a model with an ensemble of models."""

from typing import Any

from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction


def ensemble_agreement(probabilities: Tensor) -> Tensor:
    """Share of inputs for which each model predicts the class of the ensemble, which averages all probabilities.

    EnsV of Hu et al., "Towards Reliable Model Selection for Unsupervised Domain Adaptation: An Empirical Study and A
    Certified Baseline", NeurIPS 2024: the accuracy with the ensemble's classes in place of labels.

    Args:
        probabilities: Shape (models, N, K), for the same inputs in the same order.

    Returns:
        Values in [0, 1], shape (models,).

    >>> import torch
    >>> ensemble_agreement(torch.tensor([[[0.9, 0.1]], [[0.8, 0.2]], [[0.3, 0.7]]])).tolist()
    [1.0, 1.0, 0.0]
    """
    return agreement(probabilities, probabilities.sum(dim=0))


def agreement(probabilities: Tensor, ensemble: Tensor) -> Tensor:
    """Share of inputs with the same most likely class in both; shapes (..., N, K) and (N, K)."""
    return (probabilities.argmax(dim=-1) == ensemble.argmax(dim=-1)).float().mean(dim=-1)


class EnsembleAgreement(TargetScore):
    """Share of target inputs whose class is that of the ensemble of all earlier validations, in [0, 1]; 0 for the first.

    Every validation must use the inputs in the same order. A checkpoint is scored once, by the ensemble of the validations
    before it; including its own would make the first one always right. For finished runs, `acclimate compare` uses
    `ensemble_agreement` with the ensemble of all runs.
    """

    name = "ensemble_agreement"
    probabilities: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.total: Tensor | None = None

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        self.probabilities.append(prediction.logits.float().softmax(dim=1))

    def value(self) -> Tensor:
        probabilities = dim_zero_cat(self.probabilities)
        if self.total is None or self.total.shape != probabilities.shape:
            self.total = probabilities
            return probabilities.new_zeros(())
        value = agreement(probabilities, self.total.to(probabilities))
        self.total = self.total.to(probabilities) + probabilities
        return value

    def memory(self) -> dict[str, Any]:
        return {"total": self.total}

    def recall(self, memory: dict[str, Any]) -> None:
        self.total = memory["total"]
