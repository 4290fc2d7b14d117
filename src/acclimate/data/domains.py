"""The samples of a run: two domains, each in three parts."""

from typing import NamedTuple

from torch import Tensor

from acclimate.data.samples import Samples


class Parts(NamedTuple):
    """The disjoint parts of a domain; a source that is already divided may have no test part."""

    train: Samples
    val: Samples
    test: Samples | None

    def without_labels(self) -> "Parts":
        """Return the same samples without labels."""
        return Parts(self.train.with_labels(None), self.val.with_labels(None), self.test and self.test.with_labels(None))


class Domains(NamedTuple):
    """All data of a run; the target is None for transfer learning without a target, the source for a method without one."""

    classes: list[str]
    source: Parts | None
    target: Parts | None

    def without_labels(self) -> "Domains":
        """Return the same samples without labels."""
        return Domains(self.classes, self.source and self.source.without_labels(), self.target and self.target.without_labels())


def class_names(labels: Tensor) -> list[str]:
    """Return names for numbered classes: "0" up to the largest label."""
    return numbers_as_names(int(labels.max()) + 1)


def numbers_as_names(num_classes: int) -> list[str]:
    """Return names for a number of classes: "0", "1" and so on."""
    return [str(number) for number in range(num_classes)]
