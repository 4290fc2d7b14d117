"""Division of samples into parts by their content, so that neither their order nor their names matter."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.errors import DataError
from acclimate.seeds import seed_for


def split(digests: Tensor, labels: Tensor | None, *, fractions: Sequence[float], seed: int, what: str) -> list[list[int]]:
    """Divide samples by their content. Copies stay together, so no part has an image of another.

    Args:
        digests: Of the samples, int64, shape (N,); equal for copies.
        labels: Every class is divided in the same proportions, int64, shape (N,); None divides without a look at classes. A sample
            of which copies are in several classes counts for the first of these.
        fractions: Share of each part after the first, which gets the rest; above 0, with a sum below 1.
        seed: Another seed gives another division.
        what: Name of the samples for the error message.

    Returns:
        The indices of each part, the first one included, in ascending order. A part gets at least one sample of every
        class that has at least as many different samples as there are parts.

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
            # What is left must do for the parts to come and the first; a group too small for all goes to the first.
            available = len(left) - (num_parts - place if is_enough else 1)
            taken, left = _take(left, max(round(fraction * size), int(is_enough)), available)
            parts[place] += taken
        parts[0] += [index for members in left for index in members]
    if not all(parts):
        differ = "" if len(copies) == len(digests) else f", of which {len(copies)} differ"
        raise DataError(
            f"{what} has {len(digests)} images{differ}, too few to divide into {num_parts} parts that are not empty. "
            f"Give at least {num_parts} different images (for each class, if there are classes), "
            "or folders train/, val/ and test/ of your own."
        )
    return [sorted(part) for part in parts]


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
