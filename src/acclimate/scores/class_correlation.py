"""Scores from the correlation of predicted classes: the K × K matrix of second moments of the probabilities."""

import math
from abc import ABC

import torch
from torch import Tensor

from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction


def relative_nuclear_norm(second_moments: Tensor, num_samples: int) -> Tensor:
    """Nuclear norm of a matrix of probabilities P, divided by its largest possible value.

    Cui et al., "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under Label Insufficient
    Situations", CVPR 2020; as a score over a whole set in Musgrave et al., "Three New Validators and a Large-Scale
    Benchmark Ranking for Unsupervised Domain Adaptation", 2022. The division by sqrt(N · min(N, K)) makes data sets of
    different sizes comparable.

    Args:
        second_moments: PᵀP in float64, shape (K, K); its eigenvalues are the squares of the singular values of P.
        num_samples: N, the number of rows of P.

    Returns:
        A scalar in (0, 1]; 1 if predictions are certain and all classes are equally frequent.

    >>> relative_nuclear_norm(torch.diag(torch.tensor([2.0, 2.0])), 4).item()
    1.0
    """
    singular_values: Tensor = torch.linalg.eigvalsh(second_moments).clamp_min(0).sqrt()
    return singular_values.sum() / math.sqrt(num_samples * min(num_samples, len(second_moments)))


def correlation_with_identity(second_moments: Tensor) -> Tensor:
    """Cosine between the class correlation matrix of the probabilities and the identity.

    Tu et al., "Assessing Model Out-of-distribution Generalization with Softmax Prediction Probability Baselines and a
    Correlation Method", 2023.

    Args:
        second_moments: PᵀP or any multiple of it, shape (K, K).

    Returns:
        A scalar in [1 / sqrt(K), 1]: 1 if predictions are certain and all classes are equally frequent, the lower end if
        all predictions are the same, whether they are certain or not.

    >>> correlation_with_identity(torch.ones(4, 4)).item()
    0.5
    """
    cosine: Tensor = second_moments.trace() / (torch.linalg.matrix_norm(second_moments) * math.sqrt(len(second_moments)))
    return cosine


class ClassCorrelationScore(TargetScore, ABC):
    """Base class of scores that depend only on PᵀP of the target, which is summed in float64."""

    second_moments: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("second_moments", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        probabilities = torch.softmax(prediction.logits.double(), dim=1)
        self.second_moments = self.second_moments + probabilities.T @ probabilities
        self.total += len(probabilities)


class NuclearNorm(ClassCorrelationScore):
    """`relative_nuclear_norm` of the predictions for all target inputs, in (0, 1]."""

    name = "bnm"

    def value(self) -> Tensor:
        return relative_nuclear_norm(self.second_moments, int(self.total)).float()


class CorrelationWithIdentity(ClassCorrelationScore):
    """`correlation_with_identity` of the predictions for all target inputs, in [1 / sqrt(K), 1]."""

    name = "corr_c"

    def value(self) -> Tensor:
        return correlation_with_identity(self.second_moments).float()
