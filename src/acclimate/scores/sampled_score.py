"""Scores that need individual predictions instead of sums, and therefore use a limited sample."""

from abc import ABC
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction

# A single input has no neighbours.
SampleCount = Annotated[int, Ge(2)]
SEED = 0
NO_LABEL = -1


class Sample(NamedTuple):
    """Predictions and labels of one domain, in float32 and int64; labels are -1 in the target."""

    features: Tensor
    logits: Tensor
    labels: Tensor


def place_keys(first: int, number: int) -> Tensor:
    """Pseudo-random numbers of consecutive places in a data set; the number of a place is the same in every call.

    Args:
        first: First place, at least 0.
        number: Number of places.

    Returns:
        float64 in [0, 1), shape (number,).

    >>> torch.equal(place_keys(0, 7)[3:], place_keys(3, 4))
    True
    """
    return torch.from_numpy(np.random.Generator(np.random.PCG64(SEED).advance(first)).random(number))


class SampledScore(TargetScore, ABC):
    """Base class of scores on at most `max_samples` inputs of each domain.

    The inputs whose places in the data set have the smallest `place_keys` are kept. All checkpoints are therefore scored on
    the same inputs, whatever the batch size, and memory is bounded by 2 · max_samples predictions per domain.

    Args:
        max_samples: Largest number of inputs per domain, at least 2.

    Raises:
        ValueError: If `max_samples` is below 2.
    """

    def __init__(self, max_samples: SampleCount = 5000) -> None:
        super().__init__()
        if max_samples < 2:
            raise ValueError(f"max_samples must be at least 2, but is {max_samples}.")
        self.max_samples = max_samples
        for domain in self.domains:
            self.add_state(f"{domain}_seen", torch.tensor(0), dist_reduce_fx="sum")
            for part in ("keys", *Sample._fields):
                self.add_state(f"{domain}_{part}", [], dist_reduce_fx="cat")

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        features, logits = prediction.features.float(), prediction.logits.float()
        if labels is None or domain == "target":
            labels = torch.full((len(logits),), NO_LABEL, device=logits.device)
        keys = place_keys(int(self._state(domain, "seen")), len(logits)).to(logits.device)
        self._state(domain, "seen").add_(len(logits))
        for part, batch in zip(("keys", *Sample._fields), (keys, features, logits, labels), strict=True):
            self._state(domain, part).append(batch)
        if sum(map(len, self._state(domain, "keys"))) >= 2 * self.max_samples:
            keys, sample = self._smallest(domain)
            for part, rows in zip(("keys", *Sample._fields), (keys, *sample), strict=True):
                setattr(self, f"{domain}_{part}", [rows])

    def sample(self, domain: Domain) -> Sample:
        """Return the sample in the order of its keys, which is random but the same for every checkpoint."""
        return self._smallest(domain)[1]

    def _smallest(self, domain: Domain) -> tuple[Tensor, Sample]:
        keys = dim_zero_cat(self._state(domain, "keys"))
        kept = keys.argsort()[: self.max_samples]
        return keys[kept], Sample(*(dim_zero_cat(self._state(domain, part))[kept] for part in Sample._fields))

    def _state(self, domain: Domain, part: str) -> Any:
        return getattr(self, f"{domain}_{part}")
