"""The samples of a run: two domains, each in three parts."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from acclimate.data.samples import Samples


class Parts(NamedTuple):
    """The disjoint parts of a domain; a source that is already divided may have no test part."""

    train: Samples
    val: Samples
    test: Samples | None

    def without_labels(self) -> "Parts":
        """Return the same samples without labels."""
        return Parts(self.train.with_labels(None), self.val.with_labels(None), self.test and self.test.with_labels(None))

    def renumbered(self, numbers: Sequence[int]) -> "Parts":
        """Return the same samples with the labels `numbers[label]`."""
        new = torch.tensor(numbers)
        train, val = (samples.with_labels(None if samples.labels is None else new[samples.labels]) for samples in self[:2])
        test = self.test and self.test.with_labels(None if self.test.labels is None else new[self.test.labels])
        return Parts(train, val, test)


class Domains(NamedTuple):
    """All data of a run; the target is None for transfer learning without a target, the source for a method without one."""

    classes: list[str]
    source: Parts | None
    target: Parts | None

    def without_labels(self) -> "Domains":
        """Return the same samples without labels."""
        return Domains(self.classes, self.source and self.source.without_labels(), self.target and self.target.without_labels())

    def in_order_of(self, classes: Sequence[str]) -> "Domains":
        """Return the same samples with classes numbered in another order; unchanged if the names are others."""
        if self.classes == classes or sorted(self.classes) != sorted(classes):
            return self
        numbers = [classes.index(name) for name in self.classes]
        return Domains(list(classes), self.source and self.source.renumbered(numbers), self.target and self.target.renumbered(numbers))


def numbers_as_names(num_classes: int) -> list[str]:
    """Return names for a number of classes: "0", "1" and so on."""
    return [str(number) for number in range(num_classes)]
