"""Whether a model says what many models say together."""

from typing import Any

from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction


def ensemble_agreement(probabilities: Tensor) -> Tensor:
    """For each model the share of images to which it gives the class of the ensemble, the mean of all probabilities.

    EnsV of Hu et al., "Towards Reliable Model Selection for Unsupervised Domain Adaptation: An Empirical Study and A
    Certified Baseline", NeurIPS 2024: the accuracy with the ensemble's classes in place of labels.

    Args:
        probabilities: Shape (models, N, K), of the same images in the same order.

    Returns:
        Values in [0, 1], shape (models,).

    >>> import torch
    >>> ensemble_agreement(torch.tensor([[[0.9, 0.1]], [[0.8, 0.2]], [[0.3, 0.7]]])).tolist()
    [1.0, 1.0, 0.0]
    """
    return agreement(probabilities, probabilities.sum(dim=0))


def agreement(probabilities: Tensor, ensemble: Tensor) -> Tensor:
    """The share of images for which both have the same most likely class; shapes (..., N, K) and (N, K)."""
    return (probabilities.argmax(dim=-1) == ensemble.argmax(dim=-1)).float().mean(dim=-1)


class EnsembleAgreement(TargetScore):
    """The share of target images whose class is that of the ensemble of all validations before, in [0, 1]; 0 for the first.

    Every validation must go through the images in the same order. A checkpoint is judged once, by the ensemble that there is
    by then, and not by itself, or the first would always be right. Among finished runs `acclimate compare` takes
    `ensemble_agreement`, with the ensemble of all.
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
