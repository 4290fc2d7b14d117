"""Samples of several sources or targets as one set."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from acclimate.data.cache.store import key_of
from acclimate.data.domains import Parts
from acclimate.data.samples import NO_LABEL, Samples, rows_of


class JoinedSamples(Samples):
    """Samples of several domains, in the order of the domains.

    Args:
        sets: The samples of each domain, by its number; a domain without samples may be missing.
        domain_names: Names of all domains.
    """

    domains: Tensor

    def __init__(self, sets: Mapping[int, Samples], domain_names: Sequence[str]) -> None:
        # The labels are only here, where they can be taken away.
        self.sets = {domain: samples.with_labels(None) for domain, samples in sets.items()}
        self.domain_names = list(domain_names)
        self.domains = torch.cat([torch.full((len(samples),), domain) for domain, samples in sets.items()])
        # The index of each sample in the set of its domain.
        self.rows = torch.cat([torch.arange(len(samples)) for samples in sets.values()])
        self.labels = joined_labels(list(sets.values()))
        self.is_at_hand = all(samples.is_at_hand for samples in sets.values())

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, indices: Sequence[int]) -> Any:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        domains, rows = self.domains[chosen], self.rows[chosen]
        loaded: list[Any] = [None] * len(chosen)
        stacks = True
        for domain in domains.unique().tolist():  # type: ignore[no-untyped-call]
            places = (domains == domain).nonzero().flatten()
            found = self.sets[domain].load(rows[places].tolist())
            stacks = stacks and isinstance(found, Tensor)
            for place, sample in zip(places.tolist(), found, strict=True):
                loaded[place] = sample
        # As from a single set: a tensor, unless the samples are of several sizes.
        return torch.stack(loaded) if stacks and len({sample.shape for sample in loaded}) == 1 else loaded

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        taken = self.with_labels(rows_of(self.labels, chosen))
        taken.domains, taken.rows = self.domains[chosen], self.rows[chosen]
        return taken

    def with_sets(self, sets: Mapping[int, Samples]) -> Self:
        """Return the same samples in another form, such as decoded images.

        Args:
            sets: As in the constructor, with the samples in the same order.
        """
        changed = self.with_labels(self.labels)
        changed.sets = dict(sets)
        changed.is_at_hand = all(samples.is_at_hand for samples in sets.values())
        return changed

    def name(self, index: int) -> str | None:
        return self.sets[int(self.domains[index])].name(int(self.rows[index]))

    def describe(self) -> str:
        return "; ".join(f"{self.domain_names[domain]}: {about}" for domain, samples in self._used() if (about := samples.describe()))

    def digests(self) -> Tensor | None:
        found = torch.empty(len(self), dtype=torch.int64)
        for domain, samples in self.sets.items():
            # Of the whole set, which may keep them.
            digests, here = samples.digests(), self.domains == domain
            if digests is None:
                return None
            found[here] = digests[self.rows[here]]
        return found

    def fingerprint(self) -> str | None:
        keys = [samples.fingerprint() for _, samples in self._used()]
        return None if None in keys else key_of(keys, self.domains.tolist())

    def _used(self) -> list[tuple[int, Samples]]:
        """Return the samples of each domain alone, in their order."""
        domains = self.domains.unique().tolist()  # type: ignore[no-untyped-call]
        return [(domain, self.sets[domain].take(self.rows[self.domains == domain].tolist())) for domain in domains]


def joined_labels(sets: Sequence[Samples]) -> Tensor | None:
    """Return the labels of several sets, int64, shape (N,), with `NO_LABEL` in sets without labels; None if none has labels."""
    if all(samples.labels is None for samples in sets):
        return None
    return torch.cat([torch.full((len(samples),), NO_LABEL) if samples.labels is None else samples.labels for samples in sets])


def join_parts(divided: Sequence[Parts]) -> Parts:
    """Return the parts of different domains, whose samples are all `JoinedSamples`, as one."""
    train, val, test = (_merge([samples for samples in part if isinstance(samples, JoinedSamples)]) for part in zip(*divided, strict=True))
    assert train is not None and val is not None
    return Parts(train, val, test)


def _merge(joined: Sequence[JoinedSamples]) -> JoinedSamples | None:
    if len(joined) < 2:
        return joined[0] if joined else None
    merged = joined[0].with_sets({domain: samples for part in joined for domain, samples in part.sets.items()})
    merged.labels = joined_labels(joined)
    merged.domains, merged.rows = torch.cat([part.domains for part in joined]), torch.cat([part.rows for part in joined])
    return merged


def sets_of(parts: Parts) -> list[Samples]:
    """Return all samples of the parts of one domain, or of several that are joined; each set once."""
    found = [
        samples for part in parts.by_name().values() for samples in (part.sets.values() if isinstance(part, JoinedSamples) else [part])
    ]
    return list({id(samples): samples for samples in found}.values())


def change_sets(parts: Parts, change: Callable[[list[Samples]], list[Samples]]) -> Parts:
    """Return the same samples in another form.

    Args:
        parts: The parts of one domain, or of several that are joined.
        change: Function of the samples of a single domain, in several sets.
    """
    given = list(parts.by_name().values())
    joined = [part for part in given if isinstance(part, JoinedSamples)]
    if not joined:
        changed: list[Samples] = change(given)
    else:
        new: list[dict[int, Samples]] = [{} for _ in joined]
        for domain in sorted({domain for part in joined for domain in part.sets}):
            having = [place for place, part in enumerate(joined) if domain in part.sets]
            for place, samples in zip(having, change([joined[place].sets[domain] for place in having]), strict=True):
                new[place][domain] = samples
        changed = [part.with_sets(sets) for part, sets in zip(joined, new, strict=True)]
    return Parts(*changed, *[None] * (len(parts) - len(changed)))
