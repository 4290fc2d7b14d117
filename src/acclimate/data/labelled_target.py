"""Which images of the target may lend their labels to training."""

from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.errors import ConfigError
from acclimate.seeds import seed_for


def labelled_samples(labels: Tensor, classes: Sequence[str], *, per_class: int, seed: int) -> list[int]:
    """A few images of each class, by chance; more of them contain the fewer.

    Args:
        labels: Of all images that they are taken from, int64, shape (N,).
        classes: Their names.
        per_class: How many of each class, at least 1.
        seed: Another seed gives other images.

    Returns:
        Places of the images in ascending order.

    Raises:
        ConfigError: If a class has too few images.
    """
    members = [(labels == label).nonzero().flatten() for label in range(len(classes))]
    scarce = [f"{len(found)} of {name}" for name, found in zip(classes, members, strict=True) if len(found) < per_class]
    if scarce:
        raise ConfigError(
            f"data.target_labels_per_class={per_class}, but among its training images the target has only {', '.join(scarce)}. "
            "Take fewer, or label more."
        )
    chosen = []
    for name, found in zip(classes, members, strict=True):
        generator = torch.Generator().manual_seed(seed_for(seed, "labelled", name))
        chosen += found[torch.randperm(len(found), generator=generator)[:per_class]].tolist()
    return sorted(chosen)
