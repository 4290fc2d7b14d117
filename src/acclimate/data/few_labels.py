"""Which training images lend their labels: so many of each class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.data.domains import Domains
from acclimate.data.splitting import choose_of_each_class
from acclimate.errors import ConfigError, DataError


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
    counts = [int((labels == label).sum()) for label in range(len(classes))]
    scarce = [f"{count} of {name}" for name, count in zip(classes, counts, strict=True) if count < per_class]
    if scarce:
        raise ConfigError(
            f"data.target_labels_per_class={per_class}, but among its training images the target has only {', '.join(scarce)}. "
            "Take fewer, or label more."
        )
    return choose_of_each_class(labels, num_classes=len(classes), per_class=per_class, seed=seed)


def keep_labelled_source(domains: Domains, *, per_class: int, seed: int) -> Domains:
    """The same domains, with a source that trains on so many images of each class; its other parts stay.

    Raises:
        DataError: If a class has too few images.
    """
    source = domains.source
    assert source is not None and source.train.labels is not None
    counts = torch.bincount(source.train.labels, minlength=len(domains.classes))
    if counts.min() < per_class:
        raise DataError(
            f"data.source_labels_per_class={per_class}, but of the class {domains.classes[int(counts.argmin())]} only "
            f"{counts.min()} images are for training. Ask for at most as many, or set it to null to take all."
        )
    chosen = choose_of_each_class(source.train.labels, num_classes=len(counts), per_class=per_class, seed=seed)
    return domains._replace(source=source._replace(train=source.train.take(chosen)))
