"""Certainty and diversity of the predictions on the target, and their combination."""

import torch
from torch import Tensor

from acclimate.losses.target_predictions import entropy
from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction


class Information(TargetScore):
    """Mutual information between target inputs and their predicted classes, in nats, in [0, log K].

    Entropy of the mean prediction minus mean entropy, over all target inputs. High if predictions are certain and use all
    classes; 0 for a model that has collapsed to one class. See `information` for the paper.
    """

    name = "information"
    probabilities: Tensor
    entropies: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        # float64, so that a sum over batches does not depend on the batch size.
        self.add_state("probabilities", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("entropies", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        log_probabilities = torch.log_softmax(prediction.logits.double(), dim=1)
        self.probabilities = self.probabilities + log_probabilities.exp().sum(dim=0)
        self.entropies += entropy(log_probabilities).sum()
        self.total += len(log_probabilities)

    def value(self) -> Tensor:
        mean = self.probabilities / self.total
        return (entropy(mean.log()) - self.entropies / self.total).float()


class TargetEntropy(Information):
    """Negative mean entropy of the predictions for target inputs, in nats, in [-log K, 0].

    Used as a score by Morerio et al., "Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain Adaptation",
    ICLR 2018. Blind to collapse: a model that predicts one class for every input gets the best value.
    """

    name = "target_entropy"

    def value(self) -> Tensor:
        return -(self.entropies / self.total).float()


class Diversity(Information):
    """Entropy of the mean prediction for target inputs, in nats, in [0, log K].

    The first term of `Information`. Highest if all classes are predicted equally often, which an untrained model may also
    do, and which is wrong if the target's classes are not equally frequent.
    """

    name = "diversity"

    def value(self) -> Tensor:
        return entropy((self.probabilities / self.total).log()).float()
