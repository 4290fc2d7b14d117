"""Images in memory."""

from collections.abc import Sequence
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from acclimate.data.digests import digest_arrays, fingerprint
from acclimate.data.samples import Samples, rows_of


class ImageArrays(Samples):
    """Images in memory.

    Args:
        images: uint8, or float32 in [0, 1], shape (N, C, H, W); a single channel is repeated.
        labels: int64, shape (N,), or None.
        what: Name of the array that contains them, for messages; None if there is none.
        rows: Row of each image in that array; None: all rows in order.
        channels: Number of channels of loaded images.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None, *, what: str | None = None, rows: Tensor | None = None, channels: int = 3
    ) -> None:
        self.images = images
        self.labels = labels
        self.what = what
        self.channels = channels
        self.rows = torch.arange(len(images)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.images)

    def load(self, indices: Sequence[int]) -> Tensor:
        return self.images[torch.as_tensor(indices)].expand(-1, self.channels, -1, -1)

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        labels = rows_of(self.labels, chosen)
        return type(self)(self.images[chosen], labels, what=self.what, rows=self.rows[chosen], channels=self.channels)

    def name(self, index: int) -> str | None:
        return None if self.what is None else f"row {int(self.rows[index])} of {self.what}"

    def describe(self) -> str:
        channels, height, width = self.images.shape[1:]
        mode = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
        return f"{height} × {width} pixels, {mode}, values from 0 to {1 if self.images.is_floating_point() else 255}"

    def digests(self) -> Tensor:
        return self._digests

    @cached_property
    def _digests(self) -> Tensor:
        return digest_arrays(self.images)

    def fingerprint(self) -> str:
        return fingerprint(self.images)
