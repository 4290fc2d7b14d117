"""Division of samples into parts by their content, so that neither their order nor their names matter."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from acclimate.errors import DataError
from acclimate.seeds import seed_for


class Fold(NamedTuple):
    """One of several parts of equal size that take turns in testing.

    Attributes:
        number: From 0 on.
        of: How many there are, at least 2.
    """

    number: int
    of: int


def split(
    digests: Tensor,
    labels: Tensor | None,
    *,
    fractions: Sequence[float],
    seed: int,
    what: str,
    groups: Sequence[str] | None = None,
    fold: Fold | None = None,
) -> list[list[int]]:
    """Divide samples by their content. Copies and groups stay together, so no part has a sample of another, or one of its group.

    Args:
        digests: Of the samples, int64, shape (N,); equal for copies.
        labels: Every class is divided in the same proportions, int64, shape (N,); None divides without a look at classes. Samples
            that stay together count for the first of their classes.
        fractions: Share of each part after the first, which gets the rest; above 0, with a sum below 1.
        seed: Another seed gives another division.
        what: Name of the samples for the error message.
        groups: What each sample belongs to, such as a patient, N names; None if each is by itself.
        fold: Which samples are the last part, in the place of the last of `fractions`: those of this fold.

    Returns:
        The indices of each part, the first one included, in ascending order. A part gets at least one sample of every
        class that has at least as many different samples as there are parts.

    Raises:
        DataError: If a part would be empty.
    """
    together = _together(digests, groups)
    by_class = defaultdict(list)
    for members in sorted(together, key=lambda members: seed_for(seed, int(digests[members].min()))):
        by_class[0 if labels is None else int(labels[members].min())].append(members)
    num_parts = 1 + len(fractions)
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    for offset, ranked in enumerate(by_class.values()):
        size, left, to_take = sum(map(len, ranked)), ranked, list(fractions)
        if fold is not None:
            # Each class begins with another fold, so that the folds of small classes are not all the same.
            tested = [(place + offset) % fold.of == fold.number for place in range(len(ranked))]
            parts[-1] += [index for members, is_tested in zip(ranked, tested, strict=True) if is_tested for index in members]
            left, to_take = [members for members, is_tested in zip(ranked, tested, strict=True) if not is_tested], to_take[:-1]
        is_enough = len(ranked) >= num_parts
        for place, fraction in enumerate(to_take, start=1):
            # What is left must do for the parts to come and the first; a class too small for all goes to the first.
            available = len(left) - (1 + len(to_take) - place if is_enough else 1)
            taken, left = _take(left, max(round(fraction * size), int(is_enough)), available)
            parts[place] += taken
        parts[0] += [index for members in left for index in members]
    if not all(parts):
        differ = f", of which {len(together)} differ" if groups is None else f" in {len(together)} groups that stay together"
        differ = "" if len(together) == len(digests) else differ
        raise DataError(
            f"{what} has {len(digests)} samples{differ}, too few to divide into {num_parts} parts that are not empty. "
            f"Give at least {num_parts} different ones (for each class, if there are classes), or parts train, val and test of your own."
        )
    return [sorted(part) for part in parts]


def _together(digests: Tensor, groups: Sequence[str] | None) -> list[list[int]]:
    """Return the indices of samples that must be in one part: copies of each other, and those of a group."""
    keys = digests.tolist() if groups is None else _components(digests, groups)
    found = defaultdict(list)
    for index, key in enumerate(keys):
        found[key].append(index)
    return list(found.values())


def _components(digests: Tensor, groups: Sequence[str]) -> list[int]:
    """Number samples by what links them: copies may belong to several groups, which are then one."""
    _, copies = digests.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    size = int(copies.max()) + 1 + len(numbers)
    ends = np.array([numbers[name] for name in groups]) + size - len(numbers)
    _, component = connected_components(coo_array((np.ones(len(groups)), (copies.numpy(), ends)), shape=(size, size)), directed=False)
    return [int(number) for number in component[copies.numpy()]]


def _take(ranked: list[list[int]], wanted: int, available: int) -> tuple[list[int], list[list[int]]]:
    """Choose from samples that each have one or more copies, until so many are taken.

    Args:
        ranked: The copies of each sample.
        wanted: Number of samples to take, copies included. Where copies are more than fit, they are left, unless nothing else is there.
        available: Number of different samples that may be taken at most.

    Returns:
        The indices of what is taken, and what is left.
    """
    taken: list[int] = []
    left = []
    for members in ranked:
        if available > 0 and len(taken) + len(members) <= wanted:
            taken += members
            available -= 1
        else:
            left.append(members)
    if wanted and available > 0 and not taken:
        fewest = min(left, key=len)
        left.remove(fewest)
        taken = fewest
    return taken, left


def choose_of_each_class(labels: Tensor, *, num_classes: int, per_class: int, seed: int) -> list[int]:
    """A few samples of each class, by chance; more of them contain the fewer.

    Args:
        labels: Of all samples that they are taken from, int64, shape (N,). What is no class is not chosen.
        num_classes: K.
        per_class: How many of each class, at least 1; a class that has fewer gives them all.
        seed: Another seed gives other samples.

    Returns:
        Places of the samples in ascending order.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed_for(seed, "labelled")))
    chosen = [order[labels[order] == label][:per_class] for label in range(num_classes)]
    return torch.cat(chosen).sort().values.tolist()
