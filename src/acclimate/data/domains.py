"""Images with or without labels, wherever they are stored, and how a domain is divided into three parts."""

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from acclimate.data.digests import digest_arrays


class ImageSet(ABC):
    """N images of one domain.

    Attributes:
        labels: int64, shape (N,), or None for images without labels, as those of the target are to all but `TargetLabels`.
        decoded: Whether to load them is to copy them.
    """

    labels: Tensor | None
    decoded: ClassVar[bool] = True

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, indices: Sequence[int]) -> Tensor | list[Tensor]:
        """Images, uint8: one tensor of shape (N, 3, H, W) if all have one size, else a list of (3, H, W)."""

    @abstractmethod
    def take(self, indices: Sequence[int]) -> Self:
        """The set of only these images, in this order."""

    def with_labels(self, labels: Tensor | None) -> Self:
        """The same images with other labels, or with none."""
        images = copy.copy(self)
        images.labels = labels
        return images

    def digests(self) -> Tensor | None:
        """Digests of the images, int64, shape (N,), equal for copies; None if there are none, and so nobody can tell copies."""
        return None

    def fingerprint(self) -> str | None:
        """A name for the images, apart from their labels; None if there is none, and so nothing that depends on them outlasts a run."""
        return None


class ArrayImages(ImageSet):
    """Images in memory.

    Args:
        images: uint8, shape (N, 1, H, W) or (N, 3, H, W).
        labels: int64, shape (N,), or None.
    """

    def __init__(self, images: Tensor, labels: Tensor | None) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def load(self, indices: Sequence[int]) -> Tensor:
        return self.images[torch.as_tensor(indices)].expand(-1, 3, -1, -1)

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return type(self)(self.images[chosen], None if self.labels is None else self.labels[chosen])

    def digests(self) -> Tensor:
        return digest_arrays(self.images)

    def fingerprint(self) -> str:
        pixels = self.images.contiguous()
        return hashlib.blake2b(pixels.numpy().data, person=str(tuple(pixels.shape)).encode()[:16]).hexdigest()


class Parts(NamedTuple):
    """The disjoint parts of a domain; a source that brings its own folders may have no test part."""

    train: ImageSet
    val: ImageSet
    test: ImageSet | None

    def without_labels(self) -> "Parts":
        """The same images."""
        return Parts(self.train.with_labels(None), self.val.with_labels(None), self.test and self.test.with_labels(None))


class Domains(NamedTuple):
    """All data of a run; the target is None for plain transfer learning, the source for a method that takes none."""

    classes: list[str]
    source: Parts | None
    target: Parts | None

    def without_labels(self) -> "Domains":
        """The same images."""
        return Domains(self.classes, self.source and self.source.without_labels(), self.target and self.target.without_labels())


def class_names(labels: Tensor) -> list[str]:
    """Names for classes that have only numbers: "0" up to the largest label."""
    return numbers_as_names(int(labels.max()) + 1)


def numbers_as_names(num_classes: int) -> list[str]:
    """Names for so many classes that have only numbers, from "0" on."""
    return [str(number) for number in range(num_classes)]
