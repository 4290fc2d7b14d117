"""Division of samples into parts by their contents, independent of their order and names."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.errors import DataError
from acclimate.seeds import seed_for


def split(digests: Tensor, labels: Tensor | None, *, fractions: Sequence[float], seed: int, what: str) -> list[list[int]]:
    """Divide samples by their contents. Copies stay together, so no sample is in two parts.

    Args:
        digests: Digests of the samples, int64, shape (N,); equal for copies.
        labels: Labels, int64, shape (N,), to divide every class in the same proportions; None divides without using classes. A
            sample with copies in several classes counts for the first of them.
        fractions: Share of each part except for the first, which gets the rest; above 0, with a sum below 1.
        seed: Seed of the division.
        what: Name of the samples for the error message.

    Returns:
        The indices of each part, including the first, in ascending order. A part gets at least one sample of every class
        that has at least as many different samples as there are parts.

    Raises:
        DataError: If a part would be empty.
    """
    copies = defaultdict(list)
    for index, digest in enumerate(digests.tolist()):
        copies[digest].append(index)
    groups = defaultdict(list)
    for digest in sorted(copies, key=lambda digest: seed_for(seed, digest)):
        groups[0 if labels is None else int(labels[copies[digest]].min())].append(copies[digest])
    num_parts = 1 + len(fractions)
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    for ranked in groups.values():
        size, is_enough, left = sum(map(len, ranked)), len(ranked) >= num_parts, ranked
        for place, fraction in enumerate(fractions, start=1):
            # Enough must be left for the later parts and the first; a group that is too small for all parts goes to the first.
            available = len(left) - (num_parts - place if is_enough else 1)
            taken, left = _take(left, max(round(fraction * size), int(is_enough)), available)
            parts[place] += taken
        parts[0] += [index for members in left for index in members]
    if not all(parts):
        differ = "" if len(copies) == len(digests) else f", of which {len(copies)} differ"
        raise DataError(
            f"{what} has {len(digests)} samples{differ}, too few to divide into {num_parts} parts that are not empty. "
            f"Give at least {num_parts} different samples (for each class, if there are classes), "
            "or divide them yourself: into folders train/, val/ and test/, or by a column of a table, data.split."
        )
    return [sorted(part) for part in parts]


def _take(ranked: list[list[int]], wanted: int, available: int) -> tuple[list[int], list[list[int]]]:
    """Take a number of samples, each with one or more copies.

    Args:
        ranked: The copies of each sample.
        wanted: Number of samples to take, including copies. Samples with too many copies are skipped, unless there is nothing
            else.
        available: Largest number of different samples to take.

    Returns:
        The indices of the taken samples, and the remaining ones.
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
        labels: Labels of all samples, int64, shape (N,). Samples with other labels than classes are not chosen.
        num_classes: K, the number of classes.
        per_class: Number of samples of each class, at least 1; all of a class with fewer samples.
        seed: Seed of the choice.

    Returns:
        Indices of the samples in ascending order.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed_for(seed, "labelled")))
    chosen = [order[labels[order] == label][:per_class] for label in range(num_classes)]
    return torch.cat(chosen).sort().values.tolist()
