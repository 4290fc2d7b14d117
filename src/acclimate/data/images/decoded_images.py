"""Image files that are decoded and resized only once."""

import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from acclimate.data.cache import store
from acclimate.data.cache.entries import discard
from acclimate.data.cache.store import Cache, CacheUnavailable, ensure_fits, key_of
from acclimate.data.images.decoding import decode, decoding_threads, keep_whole_images
from acclimate.data.images.image_files import ImageFiles
from acclimate.data.samples import Samples, rows_of
from acclimate.errors import DataError

log = logging.getLogger(__name__)

# Number of images in memory during decoding.
AT_ONCE = 64


class DecodedImages(Samples):
    """Images that are already decoded.

    Args:
        images: All decoded images.
        members: Indices of the images of this set.
        labels: int64, shape (N,), or None.
        digests: Digests of the files, or None if they are not needed.
        origin: Fingerprint of all images.
        paths: The files of all images.
    """

    def __init__(
        self,
        images: "Sequence[Tensor] | PixelFile",
        members: Sequence[int],
        labels: Tensor | None,
        *,
        digests: Tensor | None,
        origin: str,
        paths: Sequence[Path],
    ) -> None:
        self.images = images
        self.members = list(members)
        self.labels = labels
        self.origin = origin
        self.paths = paths
        self._digests = digests

    def __len__(self) -> int:
        return len(self.members)

    def load(self, indices: Sequence[int]) -> list[Tensor]:
        return [self.images[self.members[index]] for index in indices]

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        labels, digests = rows_of(self.labels, chosen), rows_of(self._digests, chosen)
        return type(self)(
            self.images, [self.members[index] for index in indices], labels, digests=digests, origin=self.origin, paths=self.paths
        )

    def digests(self) -> Tensor | None:
        return self._digests

    def name(self, index: int) -> str:
        return str(self.paths[self.members[index]])

    def fingerprint(self) -> str:
        return key_of(self.origin, self.members)


class PixelFile:
    """A file with the pixels of images of any sizes, one after the other.

    They are read instead of mapped into memory, because mapped pixels would count as memory of the process until its end.

    Each image is compared with its checksum when it is first read, because reading the whole file first would take too long.
    A damaged image is decoded again, and the next run creates the whole entry again.

    Args:
        folder: The folder of `write`.
        files: The original files.
    """

    def __init__(self, folder: Path, files: ImageFiles) -> None:
        self.folder = folder
        self.files = files
        self.sizes = np.load(folder / "sizes.npy")
        self.checksums = np.load(folder / "checksums.npy")
        self._verified = np.zeros(len(self.sizes), dtype=bool)
        self._damaged = False
        self.channels = files.pixels.channels
        # All images were written in the pixel format of the files.
        self.type = np.dtype(str(files.pixels.dtype).removeprefix("torch."))
        self.starts = np.concatenate([[0], (self.channels * self.type.itemsize * self.sizes.prod(axis=1)).cumsum()])
        # Kept open, so that it can be read even after its removal.
        self._file = (folder / "pixels").open("rb")

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Tensor:
        pixels = np.empty((*self.sizes[index], self.channels), dtype=self.type)
        # With an explicit offset, because processes share the position of the file.
        whole = os.preadv(self._file.fileno(), [pixels.data], int(self.starts[index])) == pixels.nbytes
        if not whole or not (self._verified[index] or zlib.crc32(pixels.data) == self.checksums[index]):
            self._report_damage()
            return self.files.load([index])[0]
        self._verified[index] = True
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _report_damage(self) -> None:
        if not self._damaged:
            self._damaged = True
            log.warning("Images in the cache are damaged and are decoded from their files. The next run creates %s again.", self.folder)
            discard(self.folder)

    # Processes that do not inherit open files open it again.
    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "files": self.files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @staticmethod
    def write(folder: Path, images: Iterator[Tensor]) -> None:
        """Write images, uint8 or float32, each of shape (C, H, W)."""
        sizes, checksums, total = [], [], 0
        with (folder / "pixels").open("wb") as file:
            for image in images:
                total += image.nbytes
                ensure_fits(total)
                pixels = image.permute(1, 2, 0).contiguous().numpy()
                file.write(pixels.data)
                checksums.append(zlib.crc32(pixels.data))
                sizes.append(image.shape[1:])
        np.save(folder / "sizes.npy", np.array(sizes, dtype=np.int64))
        np.save(folder / "checksums.npy", np.array(checksums, dtype=np.uint32))


def decode_once(files: ImageFiles, cache: Cache) -> Samples:
    """Return decoded images, from the cache if possible; the files themselves if the cache cannot be used.

    Args:
        files: The files, with the `shorter_side` to which images are reduced.
        cache: `ram` caches images in this process, `disk` for all later runs, `none` disables the cache.

    Raises:
        DataError: If a file is not a complete image.
    """
    if cache == "none":
        return files
    origin = files.fingerprint()
    about = f"{len(files)} images of {os.path.commonpath([path.parent for path in files.paths])}, {files.shorter_side} pixels"
    if cache == "ram":
        log.info("Decoding once, into memory: %s", about)
        return _as_samples(list(_decoded(files)), files, origin)

    def fill(folder: Path) -> None:
        log.info("Decoding once, for all runs: %s", about)
        PixelFile.write(folder, _decoded(files))

    try:
        images = store.cached(
            "images",
            key_of(origin, Path(__file__).read_text()),
            fill=fill,
            read=lambda folder: PixelFile(folder, files),
            about=about,
            checked_by_reader=("pixels",),
        )
    except CacheUnavailable as reason:
        log.warning("Images are decoded whenever they are needed. %s", reason)
        return files
    return _as_samples(images, files, origin)


def _as_samples(images: Sequence[Tensor] | PixelFile, files: ImageFiles, origin: str) -> DecodedImages:
    return DecodedImages(images, range(len(files)), files.labels, digests=files.digests(), origin=origin, paths=files.paths)


def _decoded(files: ImageFiles) -> Iterator[Tensor]:
    with decoding_threads() as threads:
        for start in range(0, len(files), AT_ONCE):
            try:
                yield from threads.map(
                    lambda path: decode(path, files.shorter_side, files.max_pixels, files.pixels), files.paths[start : start + AT_ONCE]
                )
            except DataError:
                # Counts all bad files instead of naming only the first one.
                keep_whole_images(files.paths, "error", files.max_pixels, files.pixels)
                raise
