"""Which images of the target may lend their labels to training."""

from collections.abc import Sequence

from torch import Tensor

from acclimate.data.splitting import choose_of_each_class
from acclimate.errors import ConfigError


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
