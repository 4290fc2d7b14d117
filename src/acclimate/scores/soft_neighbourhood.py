"""How densely the target's predictions lie next to each other."""

import torch
import torch.nn.functional as F
from torch import Tensor

from acclimate.losses.target_predictions import entropy
from acclimate.ranges import Positive
from acclimate.scores.sampled_score import SampleCount, SampledScore
from acclimate.types import Domain, Prediction

# Rows of the N × N similarities that are in memory at a time.
BLOCK = 512


def soft_neighbourhood_density(logits: Tensor, *, temperature: float = 0.05) -> Tensor:
    """Mean entropy, in nats, of the distribution over a sample's neighbours that the similarity of predictions defines.

    Saito et al., "Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood Density",
    ICCV 2021: probabilities are scaled to length one, a softmax over their products with those of all other samples,
    divided by the temperature, is the distribution. It is wide where a sample has many neighbours like itself.

    Args:
        logits: Shape (N, K).
        temperature: Above 0; the paper's is 0.05.

    Returns:
        A scalar in [0, log(N - 1)], so compare it for one target set; 0 for a single sample.

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
    """`soft_neighbourhood_density` of the predictions on target images, of a sample of them beyond `max_samples`.

    Blind to collapse: a model that gives one class to every image gets the highest value.

    Args:
        temperature: Above 0.
        max_samples: Time is quadratic in it.
    """

    name = "snd"

    def __init__(self, temperature: Positive = 0.05, max_samples: SampleCount = 5000) -> None:
        super().__init__(max_samples)
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, but is {temperature}.")
        self.temperature = temperature

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        # Features do not count and need not be kept.
        super().add_batch(domain, prediction._replace(features=prediction.logits), labels)

    def value(self) -> Tensor:
        return soft_neighbourhood_density(self.sample("target").logits, temperature=self.temperature).float()
