"""Image files: finding, checking and decoding them."""

import contextlib
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from acclimate.data.cache.store import key_of
from acclimate.data.samples import Samples
from acclimate.errors import DataError

log = logging.getLogger(__name__)

OnBadImage = Literal["error", "skip"]
# Files of file managers.
LITTER = ("Thumbs.db", "desktop.ini")
# The limit above which Pillow warns about files that are small on disk and huge in memory.
MAX_PIXELS = 89_478_485
# Largest ratio of the sides, because views enlarge images until the shorter side is as large as the model needs.
MAX_RATIO = 100
# Number of files whose headers are read to describe all.
NUM_DESCRIBED = 100
# Formats that Pillow decodes with a program that runs code in the file.
PROGRAMS = ("EPS",)


class ImageFiles(Samples):
    """Images that are decoded when they are needed.

    Args:
        paths: One file per image.
        labels: int64, shape (N,), or None.
        digests: Digests from `digest_files`, or None if they are not needed.
        shorter_side: Shorter side of larger images, see `decode`.
        max_pixels: Largest number of pixels of an image, see `decode`.
    """

    is_at_hand: ClassVar[bool] = False

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Tensor | None,
        *,
        digests: Tensor | None = None,
        shorter_side: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.paths = list(paths)
        self.labels = labels
        self.shorter_side = shorter_side
        self.max_pixels = max_pixels
        self._digests = digests

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, indices: Sequence[int]) -> list[Tensor]:
        with without_pillows_advice():
            return [decode(self.paths[index], self.shorter_side, self.max_pixels) for index in indices]

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        labels, digests = (None if values is None else values[chosen] for values in (self.labels, self._digests))
        return type(self)(
            [self.paths[index] for index in indices],
            labels,
            digests=digests,
            shorter_side=self.shorter_side,
            max_pixels=self.max_pixels,
        )

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def describe(self) -> str:
        """Describe the sizes and modes of images by the headers of some files."""
        chosen = self.paths[:: max(len(self.paths) // NUM_DESCRIBED, 1)][:NUM_DESCRIBED]
        headers = [header for header in map(_read_header, chosen) if header is not None]
        if not headers:
            return "none of the first files is an image"
        widths, heights, modes = zip(*headers, strict=True)
        sizes = dict.fromkeys(f"{sides[0]} × {sides[1]}" for sides in ((min(widths), min(heights)), (max(widths), max(heights))))
        some = "" if len(chosen) == len(self.paths) else f"of {len(chosen)} files, "
        return f"{some}{' to '.join(sizes)} pixels, {', '.join(sorted(set(modes)))}"

    def digests(self) -> Tensor | None:
        return self._digests

    def fingerprint(self) -> str:
        """Return a fingerprint of the files' metadata, the size of images, and the code that decodes them."""
        files = [(str(path.absolute()), stat.st_size, stat.st_mtime_ns) for path in self.paths for stat in [path.stat()]]
        return key_of(files, self.shorter_side, Path(__file__).read_text(), PIL.__version__, torchvision.__version__)


def _read_header(path: Path) -> tuple[int, int, str] | None:
    """Return width, height and mode of an image without decoding it; None if they cannot be read."""
    try:
        with without_pillows_advice(), Image.open(path, formats=_formats()) as image:
            return *image.size, image.mode
    # A damaged file can make Pillow raise anything; it is reported when it is decoded.
    except Exception:
        return None


@contextlib.contextmanager
def without_pillows_advice() -> Iterator[None]:
    """Context manager that silences Pillow's warnings about palettes with transparency and about metadata.

    It must surround all decoding threads: inside of each, threads that end first would leave warnings off for the process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def decoding_threads() -> Iterator[ThreadPoolExecutor]:
    """Context manager with one decoding thread per core; more threads, the executor's default, would wait for each other."""
    with without_pillows_advice(), ThreadPoolExecutor(os.cpu_count()) as threads:
        yield threads


def decode(path: Path, shorter_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Decode an image file to uint8, shape (3, H, W), upright and in RGB, including greyscale, CMYK, palette and 16-bit images.

    Args:
        path: The file.
        shorter_side: Shorter side in pixels to which larger images are reduced; smaller ones are unchanged. A JPEG of at least
            twice that size is not decoded at full resolution. None keeps all pixels.
        max_pixels: Largest number of pixels; larger files are refused before decoding.

    Raises:
        DataError: If the file is not a complete image, has more pixels, or one side is more than a hundred times the other.
    """
    # Also applies to images inside images, such as those of icons.
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with Image.open(path, formats=_formats()) as image:
            _refuse_size(image.size, max_pixels)
            if shorter_side is not None:
                image.draft(None, (shorter_side, shorter_side))
            return to_tensor(image, shorter_side)
    except (OSError, ValueError, SyntaxError, OverflowError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        reason = _raise_limit(max_pixels) if isinstance(error, Image.DecompressionBombError) else error
        raise DataError(
            f"{path} is not a whole image: {reason}. Repair or remove it, or leave such files out with data.on_bad_image=skip."
        ) from error


def to_tensor(image: Image.Image, shorter_side: int | None = None) -> Tensor:
    """Convert an image of any mode to uint8, shape (3, H, W), upright and in RGB.

    Args:
        image: The image, which is rotated in place if its metadata require it.
        shorter_side: As for `decode`.
    """
    ImageOps.exif_transpose(image, in_place=True)
    upright = _to_eight_bits(image) if image.mode.startswith("I") or image.mode == "F" else image
    # Pillow would copy an image that is already RGB.
    pixels = np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))
    decoded = torch.from_numpy(pixels).permute(2, 0, 1)
    if shorter_side is None or min(decoded.shape[1:]) <= shorter_side:
        return decoded
    reduced: Tensor = F.resize(decoded, [shorter_side], antialias=True)
    return reduced


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.OPEN if name not in PROGRAMS)


def _refuse_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ValueError(f"it has {width} × {height} pixels. {_raise_limit(max_pixels)}")
    if max(size) > MAX_RATIO * min(size):
        raise ValueError(f"it has {width} × {height} pixels, and one side may be at most {MAX_RATIO} times the other")


def _raise_limit(max_pixels: int) -> str:
    return f"More than {max_pixels} need a higher limit: data.max_pixels=NUMBER, or max_pixels=NUMBER for predict"


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Convert images with 16 or more bits per pixel, which Pillow's own conversion would clip to white."""
    values = np.asarray(image, dtype=np.float32)
    # PNG and TIFF store 16-bit greys unchanged, floating-point ones usually in [0, 1].
    largest = 1.0 if image.mode == "F" and values.max() <= 1 else 65535.0 if values.max() > 255 or image.mode.startswith("I;16") else 255.0
    return Image.fromarray((values.clip(0, largest) * (255 / largest)).round().astype(np.uint8))


def find_files(root: Path) -> list[Path]:
    """Return all files below a folder that are not hidden, sorted by relative path; links to folders are followed."""
    found: list[Path] = []
    # Path.rglob skips linked folders, from which data sets are often assembled.
    for folder, subfolders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        ancestors = {root.resolve(), *(parent.resolve() for parent in (here, *here.parents) if parent.is_relative_to(root))}
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and (here / name).resolve() not in ancestors]
        found += [here / name for name in files if not name.startswith(".") and name not in LITTER and (here / name).is_file()]
    # All paths begin with the root, so this sorts by the relative path.
    return sorted(found, key=Path.as_posix)


def keep_whole_images(paths: Sequence[Path], on_bad_image: OnBadImage, max_pixels: int = MAX_PIXELS) -> list[Path]:
    """Return the files that can be decoded. All are read once, so that bad files are found before training starts.

    Args:
        paths: The files to check.
        on_bad_image: `error` refuses the first bad file, `skip` leaves bad files out and logs their names.
        max_pixels: Largest number of pixels, see `decode`.

    Raises:
        DataError: If a file is bad and `on_bad_image` is `error`.
    """
    with decoding_threads() as threads:
        problems = list(threads.map(partial(_find_problem, max_pixels=max_pixels), paths))
    bad = [problem for problem in problems if problem is not None]
    if bad and on_bad_image == "error":
        more = f" ({len(bad) - 1} more files are bad.)" if len(bad) > 1 else ""
        raise DataError(f"{bad[0]}{more}")
    for problem in bad:
        log.warning("Left out: %s", problem)
    return [path for path, problem in zip(paths, problems, strict=True) if problem is None]


def _find_problem(path: Path, max_pixels: int) -> DataError | None:
    try:
        # At the lowest resolution of JPEG, for which the whole file is still read.
        decode(path, shorter_side=1, max_pixels=max_pixels)
    except DataError as error:
        return error
    return None
