"""Copies of samples in other parts, in the other domain, or in other classes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from acclimate.data.class_names import list_classes
from acclimate.data.domains import Domains
from acclimate.data.samples import Samples
from acclimate.types import PARTS

DOMAINS = ("source", "target")


class Divided(NamedTuple):
    """Samples whose copies have other values, such as classes: a mask, shape (N,), and two copies with different values."""

    mask: Tensor
    example: tuple[int, int]


class Copies:
    """Comparison of all samples of a run, described by a line for each kind of copies.

    Args:
        domains: All samples of a run; labels of the target are not used.
    """

    def __init__(self, domains: Domains) -> None:
        self.classes = domains.classes
        self.members = [
            (DOMAINS.index(domain), PARTS.index(part), samples)
            for domain, parts in domains.by_name().items()
            for part, samples in parts.by_name().items()
        ]
        sizes = torch.tensor([len(samples) for *_, samples in self.members])
        self.starts = sizes.cumsum(0) - sizes
        self.domain, self.part = (torch.tensor([member[axis] for member in self.members]).repeat_interleave(sizes) for axis in range(2))
        digests = [samples.digests() for *_, samples in self.members]
        known = [one for one in digests if one is not None]
        self.digests = torch.cat(known) if len(known) == len(digests) else None

    def collect(self, of: Callable[[Samples], Tensor]) -> Tensor:
        """Return a tensor with a row for each sample, from one for each part."""
        return torch.cat([of(samples) for *_, samples in self.members])

    def exact(self) -> list[str]:
        """Describe exact copies; nothing if the samples have no digests."""
        return [] if self.digests is None else self._lines(self.digests, "copies", None)

    def near(self, groups: Tensor) -> list[str]:
        """Describe near copies that are not exact.

        Args:
            groups: Numbers that are equal for near copies, int64, shape (N,), in the order of `collect`.
        """
        return self._lines(groups, "near copies", self.digests)

    def _lines(self, groups: Tensor, word: str, known: Tensor | None) -> list[str]:
        lines = []
        for domain, name in enumerate(DOMAINS):
            for part in (1, 2):
                of, among = self._are(domain) & (self.part == part), self._are(domain) & (self.part < part)
                others = "training samples" if part == 1 else "training or validation samples"
                lines.append(self._compare(groups, known, of, among, f"{name} {PARTS[part]} samples are {word} of {others}"))
        lines.append(self._compare(groups, known, self._are(1), self._are(0), f"target samples are {word} of source samples"))
        lines += [self._compare_places(groups, known, domain, word) for domain in (0, 1)]
        lines.append(self._compare_classes(groups, known, word))
        return [line for line in lines if line is not None]

    def _are(self, domain: int) -> Tensor:
        return self.domain == domain

    def _compare(self, groups: Tensor, known: Tensor | None, of: Tensor, among: Tensor, what: str) -> str | None:
        found = of & torch.isin(groups, groups[among])
        if known is not None:
            found &= ~torch.isin(known, known[among])
        if not found.any():
            return None
        first = int(found.nonzero()[0])
        other = int((among & (groups == groups[first])).nonzero()[0])
        return f"{int(found.sum()):,} of the {int(of.sum()):,} {what}, such as {self._name(first)} and {self._name(other)}."

    def _compare_places(self, groups: Tensor, known: Tensor | None, domain: int, word: str) -> str | None:
        """Compare several sources, or several targets."""
        if all(samples.domains is None for owner, _, samples in self.members if owner == domain):
            return None
        places = self.collect(lambda samples: torch.zeros(len(samples)).long() if samples.domains is None else samples.domains)
        found = self._in_several(groups, known, places, domain)
        if found is None:
            return None
        name, (first, other) = DOMAINS[domain], map(self._name, found.example)
        return (
            f"{int(found.mask.sum()):,} of the {int(self._are(domain).sum()):,} {name} samples are {word} of samples of another {name}, "
            f"such as {first} and {other}."
        )

    def _compare_classes(self, groups: Tensor, known: Tensor | None, word: str) -> str | None:
        if any(domain == 0 and samples.labels is None for domain, _, samples in self.members):
            return None
        labels = self.collect(lambda samples: torch.full((len(samples),), -1) if samples.labels is None else samples.labels)
        found = self._in_several(groups, known, labels, 0)
        if found is None:
            return None
        names = [f"{self._name(place)} ({self.classes[int(labels[place])]})" for place in found.example]
        concerned = list_classes(self.classes[label] for label in labels[found.mask].unique().tolist())  # type: ignore[no-untyped-call]
        return (
            f"{int(found.mask.sum()):,} source samples are {word} of samples of another class, such as {names[0]} and {names[1]}. "
            f"Check their labels; the classes are {concerned}."
        )

    def _in_several(self, groups: Tensor, known: Tensor | None, values: Tensor, domain: int) -> Divided | None:
        """Find the samples of a domain whose groups have several values, such as classes; None if there are none."""
        found = self._differ(groups, values, domain)
        if known is not None:
            found &= ~self._differ(known, values, domain)
        if not found.any():
            return None
        first = int(found.nonzero()[0])
        other = int((found & (groups == groups[first]) & (values != values[first])).nonzero()[0])
        return Divided(found, (first, other))

    def _differ(self, groups: Tensor, values: Tensor, domain: int) -> Tensor:
        """Return a mask of the samples of a domain whose groups have several values."""
        mine = self._are(domain)
        numbers = groups[mine].unique(return_inverse=True)[1]  # type: ignore[no-untyped-call]
        lowest, highest = (
            torch.full((len(numbers),), -1).scatter_reduce(0, numbers, values[mine], how, include_self=False) for how in ("amin", "amax")
        )
        found = torch.zeros(len(groups), dtype=torch.bool)
        found[mine] = (lowest != highest)[numbers]
        return found

    def _name(self, place: int) -> str:
        member = int((self.starts <= place).sum()) - 1
        domain, part, samples = self.members[member]
        index = place - int(self.starts[member])
        return samples.name(index) or f"number {index} of {DOMAINS[domain]} {PARTS[part]}"
