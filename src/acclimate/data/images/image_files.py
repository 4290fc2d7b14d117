"""Images in files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import PIL
import torch
import torchvision
from torch import Tensor

from acclimate.data.cache.store import key_of
from acclimate.data.images.decoding import (
    DECODING,
    MAX_PIXELS,
    decode,
    find_problem,
    map_files,
    read_extremes,
    read_header,
    without_pillows_advice,
)
from acclimate.data.images.pixels import EIGHT_BIT_RGB, PixelFormat
from acclimate.data.images.value_range import Extremes, joined
from acclimate.data.samples import Samples, rows_of

# Number of files whose headers are read to describe all.
NUM_DESCRIBED = 100


class ImageFiles(Samples):
    """Images that are decoded when they are needed.

    Args:
        paths: One file per image.
        labels: int64, shape (N,), or None.
        digests: Digests from `digest_files`, or None if they are not needed.
        shorter_side: Shorter side of larger images, see `decode`.
        max_pixels: Largest number of pixels of an image, see `decode`.
        pixels: Pixel format of all images.
    """

    is_at_hand = False

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Tensor | None,
        *,
        digests: Tensor | None = None,
        shorter_side: int | None = None,
        max_pixels: int = MAX_PIXELS,
        pixels: PixelFormat = EIGHT_BIT_RGB,
    ) -> None:
        self.paths = list(paths)
        self.labels = labels
        self.shorter_side = shorter_side
        self.max_pixels = max_pixels
        self.pixels = pixels
        self._digests = digests

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, indices: Sequence[int]) -> list[Tensor]:
        with without_pillows_advice():
            return [decode(self.paths[index], self.shorter_side, self.max_pixels, self.pixels) for index in indices]

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        labels, digests = rows_of(self.labels, chosen), rows_of(self._digests, chosen)
        return type(self)(
            [self.paths[index] for index in indices],
            labels,
            digests=digests,
            shorter_side=self.shorter_side,
            max_pixels=self.max_pixels,
            pixels=self.pixels,
        )

    def extremes(self) -> Extremes | None:
        """Return the extremes of all images of more than 8 bits; None if there are none.

        Raises:
            DataError: If an image is not complete, or has pixels without a value.
        """
        return joined(map_files(lambda path: read_extremes(path, self.max_pixels, self.pixels), self.paths))

    def problem(self, index: int) -> str | None:
        """Return the problem of an image; None if it is complete."""
        error = find_problem(self.paths[index], self.max_pixels, self.pixels)
        return None if error is None else error.problem

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def describe(self) -> str:
        """Describe the sizes and modes of images by the headers of some files."""
        chosen = self.paths[:: max(len(self.paths) // NUM_DESCRIBED, 1)][:NUM_DESCRIBED]
        headers = [header for header in map(read_header, chosen) if header is not None]
        if not headers:
            return "none of the first files is an image"
        widths, heights, modes = zip(*headers, strict=True)
        sizes = dict.fromkeys(f"{sides[0]} × {sides[1]}" for sides in ((min(widths), min(heights)), (max(widths), max(heights))))
        some = "" if len(chosen) == len(self.paths) else f" (of {len(chosen)} files)"
        return f"{' to '.join(sizes)} pixels, {', '.join(sorted(set(modes)))}{some}"

    def digests(self) -> Tensor | None:
        return self._digests

    def fingerprint(self) -> str:
        """Return a fingerprint of the files' metadata, the size of images, and the code that decodes them."""
        files = [(str(path.absolute()), stat.st_size, stat.st_mtime_ns) for path in self.paths for stat in [path.stat()]]
        return key_of(files, self.shorter_side, repr(self.pixels), *DECODING, PIL.__version__, torchvision.__version__)
