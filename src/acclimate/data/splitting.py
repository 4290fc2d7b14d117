"""Dividing samples into parts by a hash of their names, so that the order in which they are found does not matter."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from acclimate.errors import DataError
from acclimate.seeds import seed_for


def split(names: Sequence[str], groups: Sequence[Hashable], *, fractions: Sequence[float], seed: int, what: str) -> list[list[int]]:
    """Divides samples so that every group is divided in the same proportions.

    Args:
        names: A name per sample, unique and independent of the machine, such as a relative path.
        groups: A group per sample, such as its class; the same value for all if there are none.
        fractions: The share of each part after the first, which gets the rest; above 0, with a sum below 1.
        seed: Another seed gives another division.
        what: What is divided, for the message.

    Returns:
        The indices of each part, the first one included, in ascending order. A part gets at least one sample of every
        group that has at least as many samples as there are parts.

    Raises:
        DataError: If a part would be empty.
    """
    members = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    parts: list[list[int]] = [[] for _ in range(1 + len(fractions))]
    for indices in members.values():
        ranked = sorted(indices, key=lambda index: seed_for(seed, names[index]))
        for place, fraction in enumerate(fractions, start=1):
            # What remains must do for the parts to come and the first; a group too small for all goes to the first.
            reserved = len(parts) - place if len(indices) >= len(parts) else 1
            wanted = min(max(round(fraction * len(indices)), int(len(indices) >= len(parts))), len(ranked) - reserved)
            parts[place] += ranked[:wanted]
            ranked = ranked[wanted:]
        parts[0] += ranked
    if not all(parts):
        raise DataError(
            f"{what} has {len(names)} images, too few to divide into {len(parts)} parts that are not empty. "
            f"Give at least {len(parts)} images (for each class, if there are classes), or folders train/, val/ and test/ of your own."
        )
    return [sorted(part) for part in parts]


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
