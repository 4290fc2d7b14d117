"""The wall around the labels of the target."""

from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.data.domains import Parts
from acclimate.data.few_labels import labelled_samples
from acclimate.data.samples import Samples
from acclimate.errors import ConfigError
from acclimate.types import Part


class TargetLabels:
    """Labels of the target's three parts, kept apart from its samples.

    They are used in three ways: those of the test part for the final test, those of the validation part for
    `selection=oracle`, and those of a few training samples for `data.target_labels_per_class`. In addition, the counts of each
    class are shown to the user (`to_show`). Nothing else reads them.

    Args:
        target: Samples with labels; None if there is no target, or its labels must not be used at all.
    """

    def __init__(self, target: Parts | None) -> None:
        self._has_target = target is not None
        parts = {} if target is None else target.by_name()
        self._labels = {part: samples.labels for part, samples in parts.items() if samples.labels is not None}

    def known(self, part: Part) -> bool:
        """Return True if a part has labels."""
        return part in self._labels

    def for_final_test(self) -> Tensor | None:
        """Return the labels of the test part, int64, shape (N,), or None if it has none."""
        return self._labels.get("test")

    def for_oracle(self) -> Tensor | None:
        """Return the labels of the validation part, int64, shape (N,), or None if it has none."""
        return self._labels.get("val")

    def to_show(self, part: Part) -> Tensor | None:
        """Return the labels of a part to show counts of them to the user, int64, shape (N,), or None if it has none.

        Nothing else may depend on them.
        """
        return self._labels.get(part)

    def choose(self, classes: Sequence[str], *, per_class: int, seed: int) -> list[int]:
        """Choose the labelled training samples, see `labelled_samples`.

        Returns:
            Indices in the training part, in ascending order.

        Raises:
            ConfigError: If there are fewer labels than requested.
        """
        if "train" not in self._labels:
            reason = "the target's training part has no labels" if self._has_target else "data.target is null"
            raise ConfigError(
                f"data.target_labels_per_class={per_class} needs labelled samples of the target, but {reason}. "
                "Name a labelled target (data.target=...), or leave the key null."
            )
        return labelled_samples(self._labels["train"], classes, per_class=per_class, seed=seed)

    def lend(self, chosen: Sequence[int]) -> Tensor:
        """Return the labels of the training samples chosen by `choose`, int64, shape (number of them,)."""
        return self._labels["train"][torch.as_tensor(chosen)]


def take_labels_off(target: Parts | None) -> tuple[Parts | None, TargetLabels]:
    """Separate the samples of the target from their labels.

    The samples are sorted by their digests, because the order of files or rows is often that of the classes.
    """
    if target is None:
        return None, TargetLabels(None)
    ordered = target.changed(_in_order)
    return ordered.without_labels(), TargetLabels(ordered)


def _in_order(samples: Samples) -> Samples:
    digests = samples.digests()
    return samples if digests is None else samples.take(digests.argsort(stable=True).tolist())
