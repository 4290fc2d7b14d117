"""Samples of one domain, wherever they are stored."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from acclimate.inputs import Features


class Samples(ABC):
    """N samples of one domain.

    Attributes:
        labels: int64, shape (N,), or None for samples without labels, as those of the target are to all but `TargetLabels`.
        is_at_hand: Whether to load them is to copy them.
    """

    labels: Tensor | None
    is_at_hand: ClassVar[bool] = True

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, indices: Sequence[int]) -> Any:
        """Return what the views of this kind of input take."""

    @abstractmethod
    def take(self, indices: Sequence[int]) -> Self:
        """Return the set of only these samples, in this order."""

    def with_labels(self, labels: Tensor | None) -> Self:
        """Return the same samples with other labels, or with none."""
        samples = copy.copy(self)
        samples.labels = labels
        return samples

    def name(self, index: int) -> str | None:
        """Return what messages call a sample, such as the path of its file; None if it has no name."""
        return None

    def describe(self) -> str:
        """Return a few words for a person who checks what was understood; nothing is read in full."""
        return ""

    def digests(self) -> Tensor | None:
        """Return digests of the samples, int64, shape (N,), equal for copies; None if copies cannot be told."""
        return None

    def fingerprint(self) -> str | None:
        """Return a name for the samples, apart from their labels; without one, nothing that depends on them outlasts a run."""
        return None


class KeptFeatures(Samples):
    """What a frozen backbone makes of samples, in their place.

    Args:
        features: Shape (N, D).
        labels: int64, shape (N,), or None.
    """

    def __init__(self, features: Tensor, labels: Tensor | None) -> None:
        self.features = features
        self.labels = labels

    def __len__(self) -> int:
        return len(self.features)

    def load(self, indices: Sequence[int]) -> Features:
        return Features(self.features[torch.as_tensor(indices)])

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return type(self)(self.features[chosen], None if self.labels is None else self.labels[chosen])
