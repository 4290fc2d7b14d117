"""Soft neighbourhood density of the target's predictions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from acclimate.losses.target_predictions import entropy
from acclimate.ranges import Positive
from acclimate.scores.sampled_score import SampleCount, SampledScore
from acclimate.types import Domain, Prediction

# Rows of the N × N similarities in memory at a time.
BLOCK = 512


def soft_neighbourhood_density(logits: Tensor, *, temperature: float = 0.05) -> Tensor:
    """Mean entropy, in nats, of each sample's distribution over its neighbours.

    Saito et al., "Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood Density",
    ICCV 2021: the distribution is a softmax over the cosine similarities of a sample's probabilities to those of all other
    samples, divided by the temperature. It is wide if a sample has many similar neighbours.

    Args:
        logits: Shape (N, K).
        temperature: Above 0; 0.05 in the paper.

    Returns:
        A scalar in [0, log(N - 1)], comparable only for the same target set; 0 for a single sample.

    Raises:
        ValueError: If the temperature is not positive.

    >>> round(soft_neighbourhood_density(torch.zeros(3, 2)).item(), 4)
    0.6931
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, but is {temperature}.")
    directions = F.normalize(torch.softmax(logits.double(), dim=1), dim=1)
    if len(directions) < 2:
        return directions.new_zeros(())
    total = directions.new_zeros(())
    for start in range(0, len(directions), BLOCK):
        similarities = directions[start : start + BLOCK] @ directions.T / temperature
        similarities.diagonal(offset=start).fill_(-torch.inf)
        total += entropy(torch.log_softmax(similarities, dim=1)).sum()
    return total / len(directions)


class SoftNeighbourhoodDensity(SampledScore):
    """`soft_neighbourhood_density` of the predictions for target inputs, or of a sample of more than `max_samples`.

    Blind to collapse: a model that predicts one class for every input gets the highest value.

    Args:
        temperature: Above 0.
        max_samples: Largest number of inputs; the time is quadratic in it.
    """

    name = "snd"

    def __init__(self, temperature: Positive = 0.05, max_samples: SampleCount = 5000) -> None:
        super().__init__(max_samples)
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, but is {temperature}.")
        self.temperature = temperature

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        # Features are not used, so they are not kept.
        super().add_batch(domain, prediction._replace(features=prediction.logits), labels)

    def value(self) -> Tensor:
        return soft_neighbourhood_density(self.sample("target").logits, temperature=self.temperature).float()
