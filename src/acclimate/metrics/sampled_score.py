"""Scores that need whole predictions, not sums over them, and so can look at a limited number of images only."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from acclimate.metrics.target_score import TargetScore
from acclimate.types import Domain, Prediction

SEED = 0
NO_LABEL = -1
# The odd constant of the golden ratio, which spreads neighbouring integers over all 64 bits.
GOLDEN_RATIO = -7046029254386353131


class Sample(NamedTuple):
    """Predictions of one domain and the labels, in float32 and int64; labels are -1 in the target."""

    features: Tensor
    logits: Tensor
    labels: Tensor


def content_keys(rows: Tensor) -> Tensor:
    """A pseudo-random number for each row that depends on the row's content alone, and so neither on its place nor its batch.

    Args:
        rows: Shape (N, C), taken as float32.

    Returns:
        int64, shape (N,).
    """
    multipliers = torch.randint(-(2**63), 2**63 - 1, (rows.shape[1],), generator=torch.Generator().manual_seed(SEED))
    # Integers wrap around, so the sum is exact in any order.
    keys = (rows.float().contiguous().view(torch.int32).long() * multipliers.to(rows.device)).sum(dim=1)
    return (keys ^ (keys >> 32)) * GOLDEN_RATIO


class SampledScore(TargetScore, ABC):
    """A score of at most `max_samples` images of each domain that it looks at.

    Kept are the images whose predictions have the smallest `content_keys`, in the order of the keys. So the score depends
    neither on the order of the images nor on how they are batched, and memory is bounded: 2 · max_samples predictions of
    a domain at a time. The limit: predictions must be equal to the last bit to have equal keys. Another batch size or
    device may round them differently; more than `max_samples` images then give another sample, and fewer the same images
    in another order.

    Args:
        max_samples: At least 2.

    Raises:
        ValueError: If it is not.
    """

    domains: ClassVar[tuple[Domain, ...]] = ("target",)

    def __init__(self, max_samples: int = 5000) -> None:
        super().__init__()
        if max_samples < 2:
            raise ValueError(f"max_samples must be at least 2, but is {max_samples}.")
        self.max_samples = max_samples
        for domain in self.domains:
            for part in ("keys", *Sample._fields):
                self.add_state(f"{domain}_{part}", [], dist_reduce_fx="cat")

    def update(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        if domain not in self.domains:
            return
        features, logits = prediction.features.float(), prediction.logits.float()
        if labels is None or domain == "target":
            labels = torch.full((len(logits),), NO_LABEL, device=logits.device)
        keys = content_keys(torch.cat([features, logits, labels[:, None].float()], dim=1))
        for part, batch in zip(("keys", *Sample._fields), (keys, features, logits, labels), strict=True):
            self._state(domain, part).append(batch)
        if sum(map(len, self._state(domain, "keys"))) >= 2 * self.max_samples:
            keys, sample = self._smallest(domain)
            for part, rows in zip(("keys", *Sample._fields), (keys, *sample), strict=True):
                setattr(self, f"{domain}_{part}", [rows])

    def sample(self, domain: Domain) -> Sample:
        """The images that count, in the order of their keys."""
        return self._smallest(domain)[1]

    def _smallest(self, domain: Domain) -> tuple[Tensor, Sample]:
        keys = dim_zero_cat(self._state(domain, "keys"))
        kept = keys.argsort()[: self.max_samples]
        return keys[kept], Sample(*(dim_zero_cat(self._state(domain, part))[kept] for part in Sample._fields))

    def _state(self, domain: Domain, part: str) -> Any:
        return getattr(self, f"{domain}_{part}")

    @abstractmethod
    def compute(self) -> Tensor:
        """The score of the sample."""
