"""The samples of a run: two domains, each in three parts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from acclimate.data.samples import Samples
from acclimate.types import PARTS, Domain, Part


class Parts(NamedTuple):
    """The disjoint parts of a domain; a source that is already divided may have no test part."""

    train: Samples
    val: Samples
    test: Samples | None

    def by_name(self) -> dict[Part, Samples]:
        """Return the parts that there are, in order."""
        return {name: samples for name, samples in zip(PARTS, self, strict=True) if samples is not None}

    def changed(self, change: Callable[[Samples], Samples]) -> "Parts":
        """Return the results of a function of each part."""
        return Parts(change(self.train), change(self.val), None if self.test is None else change(self.test))

    def without_labels(self) -> "Parts":
        """Return the same samples without labels."""
        return self.changed(lambda samples: samples.with_labels(None))

    def renumbered(self, numbers: Sequence[int]) -> "Parts":
        """Return the same samples with the labels `numbers[label]`."""
        new = torch.tensor(numbers)
        return self.changed(lambda samples: samples if samples.labels is None else samples.with_labels(new[samples.labels]))


class Domains(NamedTuple):
    """All data of a run; the target is None for transfer learning without a target, the source for a method without one."""

    classes: list[str]
    source: Parts | None
    target: Parts | None

    def by_name(self) -> dict[Domain, Parts]:
        """Return the domains that there are, the source first."""
        given: dict[Domain, Parts | None] = {"source": self.source, "target": self.target}
        return {name: parts for name, parts in given.items() if parts is not None}

    def in_part(self, part: Part) -> dict[Domain, Samples]:
        """Return the samples of a part in each domain that has it, the source first."""
        found = {name: parts.by_name().get(part) for name, parts in self.by_name().items()}
        return {name: samples for name, samples in found.items() if samples is not None}

    def changed(self, change: Callable[[Parts], Parts]) -> "Domains":
        """Return the results of a function of each domain, with the same classes."""
        source, target = (None if parts is None else change(parts) for parts in (self.source, self.target))
        return Domains(self.classes, source, target)

    def without_labels(self) -> "Domains":
        """Return the same samples without labels."""
        return self.changed(Parts.without_labels)

    def in_order_of(self, classes: Sequence[str]) -> "Domains":
        """Return the same samples with classes numbered in another order; unchanged if the names are others."""
        if self.classes == classes or sorted(self.classes) != sorted(classes):
            return self
        numbers = [classes.index(name) for name in self.classes]
        return self._replace(classes=list(classes)).changed(lambda parts: parts.renumbered(numbers))
