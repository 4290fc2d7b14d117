"""Decoding of image files, and the check that they are complete images."""

import contextlib
import itertools
import logging
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from PIL import Image, UnidentifiedImageError
from torch import Tensor

from acclimate.data.images import opening, stored_pixels
from acclimate.data.images import pixels as pixels_module
from acclimate.data.images.opening import may_be_deep, open_image
from acclimate.data.images.pixels import EIGHT_BIT_RGB, PixelFormat, from_stored, reduced, to_tensor
from acclimate.data.images.stored_pixels import (
    TIFF_BEGINNINGS,
    ImageError,
    has_other_channels,
    is_deep,
    read_stored,
    read_tiff,
    too_many_pixels,
)
from acclimate.data.images.value_range import Extremes, extremes
from acclimate.errors import BadInputError, DataError, more_bad_files

log = logging.getLogger(__name__)

T = TypeVar("T")
OnBadImage = Literal["error", "skip"]
# The limit above which Pillow warns about files that are small on disk and huge in memory.
MAX_PIXELS = 89_478_485
# Largest ratio of the sides, because views enlarge images until the shorter side has the size of the model. Longer images are
# cropped to their middle, which is all that views for evaluation show.
MAX_RATIO = 100
# Largest number; starting a task in a thread costs more than examining a small file.
FILES_PER_TASK = 64
# Source code on which decoded images depend.
DECODING = [Path(str(module)).read_text() for module in (__file__, opening.__file__, pixels_module.__file__, stored_pixels.__file__)]


def read_header(path: Path) -> tuple[int, int, str] | None:
    """Return width, height and mode of an image without decoding it; None if they cannot be read."""
    try:
        with without_pillows_advice(), open_image(path) as image:
            return *image.size, image.mode
    # A damaged file can make Pillow raise anything; it is reported when it is decoded.
    except Exception:
        return None


@contextlib.contextmanager
def without_pillows_advice() -> Iterator[None]:
    """Context manager that silences Pillow's warnings about palettes with transparency and about metadata.

    It must surround all decoding threads: used in each of them, it would leave warnings disabled for the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def decoding_threads() -> Iterator[ThreadPoolExecutor]:
    """Context manager with one decoding thread per core; more threads, the executor's default, would wait for each other."""
    with without_pillows_advice(), ThreadPoolExecutor(os.cpu_count()) as threads:
        yield threads


def map_files(call: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    """Call a function with each file in decoding threads, and return the results in order."""
    # Several batches for each thread, because files differ in size.
    size = max(min(len(paths) // (4 * (os.cpu_count() or 1)), FILES_PER_TASK), 1)
    batches = [paths[start : start + size] for start in range(0, len(paths), size)]
    with decoding_threads() as threads:
        return list(itertools.chain.from_iterable(threads.map(lambda batch: list(map(call, batch)), batches)))


def decode(path: Path, shorter_side: int | None = None, max_pixels: int = MAX_PIXELS, pixels: PixelFormat = EIGHT_BIT_RGB) -> Tensor:
    """Decode an image of any mode and depth to a tensor of shape (C, H, W), upright.

    Args:
        path: The file.
        shorter_side: Largest length of the shorter side in pixels, to which larger images are reduced; a JPEG of at least
            twice that size is not decoded in full. None: no limit.
        max_pixels: Largest number of pixels of the file, which is checked before it is decoded.
        pixels: Format of the tensor.

    Raises:
        BadInputError: If the file is not a complete image, has too many pixels, or cannot be converted to the format.
    """
    return _middle(_decode(path, shorter_side, max_pixels, pixels))


def _decode(path: Path, shorter_side: int | None, max_pixels: int, pixels: PixelFormat) -> Tensor:
    with _explained(path, max_pixels):
        try:
            with open_image(path) as image:
                _refuse_size(image.size, max_pixels)
                if shorter_side is not None:
                    image.draft(None, (shorter_side, shorter_side))
                if not _is_beyond_pillow(image, pixels.channels):
                    return to_tensor(image, shorter_side, pixels)
        except UnidentifiedImageError:
            if not _is_tiff(path):
                raise
        # Pillow reads at most four channels, and treats each page as an image.
        with path.open("rb") as file:
            return reduced(from_stored(read_tiff(file, max_pixels, num_pages=pixels.channels), pixels), shorter_side)


def read_extremes(path: Path, max_pixels: int, pixels: PixelFormat) -> Extremes | None:
    """Return the extremes of an image of more than 8 bits; None for other images, most of which their first bytes show.

    Raises:
        BadInputError: If the image is not complete, or has pixels without a value.
    """
    with _explained(path, max_pixels):
        with path.open("rb") as file:
            if not may_be_deep(file):
                return None
        try:
            with open_image(path) as image:
                _refuse_size(image.size, max_pixels)
                if not _is_beyond_pillow(image, pixels.channels):
                    return extremes(read_stored(image), pixels.nan) if is_deep(image) else None
        except UnidentifiedImageError:
            if not _is_tiff(path):
                raise
        with path.open("rb") as file:
            return extremes(read_tiff(file, max_pixels, num_pages=pixels.channels), pixels.nan)


@contextlib.contextmanager
def _explained(path: Path, max_pixels: int) -> Iterator[None]:
    """Context manager that names the file in errors.

    Raises:
        BadInputError: Instead of any error that a bad file causes in Pillow.
    """
    # Also applies to images inside images, such as those of icons.
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        yield
    except ImageError as problem:
        raise _bad_image(path, str(problem)) from problem
    except Image.DecompressionBombError as error:
        # The number of pixels is only in its message.
        number = re.search(r"\d+", str(error))
        raise _bad_image(path, str(too_many_pixels(int(number[0]) if number else 2 * max_pixels, max_pixels))) from error
    except FileNotFoundError as error:
        raise _bad_image(path, "is not a whole image: it does not exist. Correct the path") from error
    except (OSError, ValueError, SyntaxError, OverflowError, MemoryError, RuntimeError, struct.error, zlib.error) as error:
        raise _bad_image(path, f"is not a whole image: {error}. Repair or remove it") from error


def _bad_image(path: Path, problem: str) -> BadInputError:
    return BadInputError(f"{path} {problem}, or leave such files out with data.on_bad_image=skip.", str(path), problem)


def _is_beyond_pillow(image: Image.Image, channels: int) -> bool:
    """Return True if an image has channels that Pillow leaves out: additional ones, or pages."""
    if channels in (1, 3) or image.format != "TIFF":
        return False
    return len(image.getbands()) != channels and (not has_other_channels(image, channels) or getattr(image, "n_frames", 1) == channels)


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in TIFF_BEGINNINGS


def _refuse_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise too_many_pixels(width * height, max_pixels)


def _middle(image: Tensor) -> Tensor:
    """Return the middle of an image that is more than `MAX_RATIO` times as long in one direction as in the other."""
    longest = MAX_RATIO * min(image.shape[1:])
    for axis in (1, 2):
        if (surplus := image.shape[axis] - longest) > 0:
            image = image.narrow(axis, surplus // 2, longest).contiguous()
    return image


def keep_whole_images(
    paths: Sequence[Path], on_bad_image: OnBadImage, max_pixels: int = MAX_PIXELS, pixels: PixelFormat = EIGHT_BIT_RGB
) -> list[Path]:
    """Return the files that can be decoded. All are read once, so that bad files are found before training starts.

    Args:
        paths: The files to check.
        on_bad_image: `error` refuses the first bad file, `skip` leaves bad files out and logs their names.
        max_pixels: Largest number of pixels of a file, see `decode`.
        pixels: Format that all files must be convertible to.

    Raises:
        DataError: If a file is bad and `on_bad_image` is `error`.
    """
    # The range may not be known yet.
    checked = replace(pixels, value_range=pixels.value_range or (0, 1))
    problems = map_files(partial(find_problem, max_pixels=max_pixels, pixels=checked), paths)
    bad = [problem for problem in problems if problem is not None]
    if bad and on_bad_image == "error":
        raise DataError(f"{bad[0]}{more_bad_files(len(bad) - 1)}")
    for problem in bad:
        log.warning("Left out: %s", problem)
    return [path for path, problem in zip(paths, problems, strict=True) if problem is None]


def find_problem(path: Path, max_pixels: int, pixels: PixelFormat) -> BadInputError | None:
    """Return the error that decoding an image raises; None if it is complete."""
    try:
        # The fastest way to decode a JPEG, which still reads the whole file.
        decode(path, shorter_side=1, max_pixels=max_pixels, pixels=pixels)
    except BadInputError as error:
        return error
    return None
