"""Choice of a few labelled training samples per class."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.data.class_names import list_classes
from acclimate.data.domains import Domains
from acclimate.data.splitting import choose_of_each_class
from acclimate.errors import ConfigError, DataError

log = logging.getLogger(__name__)


def labelled_samples(labels: Tensor, classes: Sequence[str], *, per_class: int, seed: int) -> list[int]:
    """Choose a few samples of each class at random; smaller choices are subsets of larger ones.

    Classes that the target lacks are left out.

    Args:
        labels: Labels of all samples, int64, shape (N,).
        classes: Names of the classes.
        per_class: Number of samples of each class, at least 1.
        seed: Seed of the choice.

    Returns:
        Indices of the samples in ascending order.

    Raises:
        ConfigError: If a class has too few samples, or all have none.
    """
    counts = {name: int((labels == label).sum()) for label, name in enumerate(classes)}
    absent = [name for name, count in counts.items() if count == 0]
    scarce = [f"{count} of {name}" for name, count in counts.items() if 0 < count < per_class]
    if scarce or len(absent) == len(classes):
        raise ConfigError(
            f"data.target_labels_per_class={per_class}, but the target's training part has only {', '.join(scarce) or 'other classes'}. "
            "Use fewer, or label more."
        )
    if absent:
        log.warning("data.target_labels_per_class: the target's training part has no samples of %s.", list_classes(absent))
    return choose_of_each_class(labels, num_classes=len(classes), per_class=per_class, seed=seed)


def keep_labelled_source(domains: Domains, *, per_class: int, seed: int) -> Domains:
    """Reduce the source's training part to a number of samples per class; its other parts do not change.

    Classes without training samples are left out.

    Raises:
        DataError: If a class has too few samples.
    """
    source = domains.source
    assert source is not None and source.train.labels is not None
    counts = torch.bincount(source.train.labels, minlength=len(domains.classes))
    fewest = int(counts[counts > 0].min())
    if fewest < per_class:
        raise DataError(
            f"data.source_labels_per_class={per_class}, but the class {domains.classes[counts.tolist().index(fewest)]} has only "
            f"{fewest} training samples. Use at most that number, or null for all."
        )
    chosen = choose_of_each_class(source.train.labels, num_classes=len(counts), per_class=per_class, seed=seed)
    return domains._replace(source=source._replace(train=source.train.take(chosen)))
