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
        number: Number of the fold, from 0.
        of: Number of folds, at least 2.
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
    """Divide samples by their content. Copies and groups stay together, so no part contains copies or groups of another one.

    Args:
        digests: Digests of the samples, int64, shape (N,); equal for copies.
        labels: Classes, each of which is divided in the same proportions, int64, shape (N,); None: do not use classes. Samples
            that stay together count for the first of their classes.
        fractions: Share of each part after the first, which gets the rest; above 0, with a sum below 1.
        seed: Seed of the division.
        what: Name of the samples for the error message.
        groups: Group of each sample, such as a patient, N names; None: no groups.
        fold: Fold whose samples are the last part, instead of the last of `fractions`.

    Returns:
        Indices of the samples of each part, including the first, in ascending order. A part gets at least one sample of every
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
            # Leave enough for the later parts and the first; a class that is too small for all parts goes to the first.
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
    """Return the indices of samples that must be in the same part, because they are copies or belong to one group."""
    keys = digests.tolist() if groups is None else _components(digests, groups)
    found = defaultdict(list)
    for index, key in enumerate(keys):
        found[key].append(index)
    return list(found.values())


def _components(digests: Tensor, groups: Sequence[str]) -> list[int]:
    """Number the sets of samples that copies and groups connect; groups that share copies count as one."""
    _, copies = digests.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    size = int(copies.max()) + 1 + len(numbers)
    ends = np.array([numbers[name] for name in groups]) + size - len(numbers)
    _, component = connected_components(coo_array((np.ones(len(groups)), (copies.numpy(), ends)), shape=(size, size)), directed=False)
    return [int(number) for number in component[copies.numpy()]]


def _take(ranked: list[list[int]], wanted: int, available: int) -> tuple[list[int], list[list[int]]]:
    """Choose samples, together with their copies.

    Args:
        ranked: The copies of each sample.
        wanted: Number of samples to take, including copies. A sample with more copies than fit is skipped, unless there is no other.
        available: Largest number of different samples that may be taken.

    Returns:
        The indices of the chosen samples, and the copies of each of the other samples.
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
    """Choose a few samples of each class at random; smaller choices are subsets of larger ones.

    Args:
        labels: Labels of all samples, int64, shape (N,). Samples without a class are never chosen.
        num_classes: K, the number of classes.
        per_class: Number of samples of each class, at least 1; all samples of a class that has fewer.
        seed: Seed of the choice.

    Returns:
        Indices of the samples in ascending order.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed_for(seed, "labelled")))
    chosen = [order[labels[order] == label][:per_class] for label in range(num_classes)]
    return torch.cat(chosen).sort().values.tolist()
