"""Images in memory."""

import hashlib
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from acclimate.data.digests import digest_arrays
from acclimate.data.samples import Samples


class ImageArrays(Samples):
    """Images in memory.

    Args:
        images: uint8, shape (N, 1, H, W) or (N, 3, H, W).
        labels: int64, shape (N,), or None.
        what: Name of the array that they come from, for messages; None if there is none.
        rows: Of each image in that array; None if these are all.
    """

    def __init__(self, images: Tensor, labels: Tensor | None, *, what: str | None = None, rows: Tensor | None = None) -> None:
        self.images = images
        self.labels = labels
        self.what = what
        self.rows = torch.arange(len(images)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.images)

    def load(self, indices: Sequence[int]) -> Tensor:
        return self.images[torch.as_tensor(indices)].expand(-1, 3, -1, -1)

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        labels = None if self.labels is None else self.labels[chosen]
        return type(self)(self.images[chosen], labels, what=self.what, rows=self.rows[chosen])

    def name(self, index: int) -> str | None:
        return None if self.what is None else f"row {int(self.rows[index])} of {self.what}"

    def describe(self) -> str:
        height, width = self.images.shape[2:]
        return f"{height} × {width} pixels, {'grey' if self.images.shape[1] == 1 else 'RGB'}, values from 0 to 255"

    def digests(self) -> Tensor:
        return digest_arrays(self.images)

    def fingerprint(self) -> str:
        pixels = self.images.contiguous()
        return hashlib.blake2b(pixels.numpy().data, person=str(tuple(pixels.shape)).encode()[:16]).hexdigest()
