"""The base class of samples of a domain, independent of their storage."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from acclimate.inputs import Features
from acclimate.types import Domain

# The label of a sample without one, where others have labels.
NO_LABEL = -1


def rows_of(values: Tensor | None, rows: Tensor | slice) -> Tensor | None:
    """Return some rows of values that samples may lack, such as labels."""
    return None if values is None else values[rows]


class Samples(ABC):
    """Base class of N samples of a domain.

    Attributes:
        labels: int64, shape (N,), or None for samples without labels, such as those of the target outside of `TargetLabels`.
            `NO_LABEL` marks single samples without one.
        is_at_hand: True if loading only copies the samples.
        domains: Number of the source or target that each sample is from, int64, shape (N,); None if there is only one.
        domain_names: Names of several sources or targets.
    """

    labels: Tensor | None
    is_at_hand: bool = True
    domains: Tensor | None = None
    domain_names: Sequence[str] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, indices: Sequence[int]) -> Any:
        """Load samples in the form that views of their kind accept."""

    @abstractmethod
    def take(self, indices: Sequence[int]) -> Self:
        """Return only the given samples, in the given order."""

    def with_labels(self, labels: Tensor | None) -> Self:
        """Return the same samples with other labels, or with none."""
        samples = copy.copy(self)
        samples.labels = labels
        return samples

    def name(self, index: int) -> str | None:
        """Return the name of a sample in messages, such as the path of its file; None if it has no name."""
        return None

    def describe(self) -> str:
        """Return a short description with which the user can check how the data were read, without reading all of them."""
        return ""

    def digests(self) -> Tensor | None:
        """Return digests of the samples, int64, shape (N,), equal for copies; None if copies cannot be recognised."""
        return None

    def fingerprint(self) -> str | None:
        """Return a key of the samples without their labels; None if results that depend on them cannot be cached for later runs."""
        return None


class KeptFeatures(Samples):
    """Features of a frozen backbone, which replace the samples.

    Args:
        features: Shape (N, D).
        labels: int64, shape (N,), or None.
        domains: As in `Samples`.
    """

    def __init__(self, features: Tensor, labels: Tensor | None, domains: Tensor | None = None) -> None:
        self.features = features
        self.labels = labels
        self.domains = domains

    def __len__(self) -> int:
        return len(self.features)

    def load(self, indices: Sequence[int]) -> Features:
        # A range is not copied.
        rows = slice(indices.start, indices.stop, indices.step) if isinstance(indices, range) else torch.as_tensor(indices)
        return Features(self.features[rows])

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return type(self)(self.features[chosen], rows_of(self.labels, chosen), rows_of(self.domains, chosen))


def named_domain(domain: Domain, samples: Samples, index: int) -> str:
    """Return the domain of a sample for tables: `source` or `target`, or one of several, such as `target/NAME`."""
    return domain if samples.domains is None else f"{domain}/{samples.domain_names[int(samples.domains[index])]}"
