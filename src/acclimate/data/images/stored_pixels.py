"""Pixels as files store them, for files that Pillow would reduce to 8 bits or cannot read."""

import io
import math
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torchvision.io import ImageReadMode, decode_png

# Tags of TIFF, also in the metadata of other files.
BITS_PER_SAMPLE, ORIENTATION, SAMPLES_PER_PIXEL, SAMPLE_FORMAT, NO_DATA = 258, 274, 277, 339, 42113
SIGNED = 2
# Meanings of an additional channel that are transparency: premultiplied and plain.
TRANSPARENCY = (1, 2)
# Largest number of values in all channels, as a multiple of the largest number of pixels.
MAX_VALUES = 4
TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class ImageError(ValueError):
    """An image that cannot be used; the message is the end of a sentence that begins with the name of the file."""


class Stored(NamedTuple):
    """The values of an image as they are stored, upright.

    Attributes:
        values: Any type, shape (H, W, C).
        has_alpha: True if the last channel is transparency.
        missing: The value that marks pixels without a value, as in files of maps; None if there is none.
    """

    values: NDArray[Any]
    has_alpha: bool
    missing: float | None = None


def is_deep(image: Image.Image) -> bool:
    """Return True if an image has more than 8 bits, by its header."""
    return _is_single(image) or _has_deep_channels(image) or _tag(image, SAMPLE_FORMAT) == (SIGNED,)


def read_stored(image: Image.Image) -> Stored:
    """Read the values of an image with more than 8 bits, see `is_deep`.

    Raises:
        ImageError: If a package is missing that reads it.
    """
    if _has_deep_channels(image):
        file: Any = image.fp  # type: ignore[attr-defined]
        place = file.tell()
        file.seek(0)
        contents = file.read()
        file.seek(place)
        return read_tiff(io.BytesIO(contents)) if image.format == "TIFF" else _read_png(image, contents)
    bits, kind, missing = _tag(image, BITS_PER_SAMPLE), _tag(image, SAMPLE_FORMAT), _number(_tag(image, NO_DATA))
    values = np.asarray(ImageOps.exif_transpose(image))
    if image.mode == "I" and bits == (32,) and kind in ((), (1,)):
        values = values.view(np.uint32)
    if image.mode == "L":
        values = values.view(np.int8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = (values != transparent) * np.iinfo(values.dtype).max
        return Stored(np.stack([values, alpha.astype(values.dtype)], axis=2), has_alpha=True, missing=missing)
    return Stored(values[..., None], has_alpha=False, missing=missing)


def read_tiff(file: IO[bytes], max_pixels: int | None = None, num_pages: int = 1) -> Stored:
    """Read a TIFF with any number of channels of any type.

    Args:
        file: An open file, at its beginning.
        max_pixels: Largest number of pixels in a channel; None: no limit.
        num_pages: If a file has this number of pages with one channel each, they are the channels.

    Raises:
        ImageError: If the file is damaged, or a package is missing that reads it.
    """
    import tifffile

    try:
        with tifffile.TiffFile(file) as tiff:
            pages = list(tiff.pages) if len(tiff.pages) == num_pages else tiff.pages[:1]
            first: Any = pages[0]
            if max_pixels is not None and first.imagewidth * first.imagelength > max_pixels:
                raise too_many_pixels(first.imagewidth * first.imagelength, max_pixels)
            if max_pixels is not None and math.prod(first.shape) > MAX_VALUES * max_pixels:
                raise ImageError(f"has {math.prod(first.shape)} values, more than {MAX_VALUES} times data.max_pixels={max_pixels}")
            channels = [_channels_last(page.asarray(), page.axes) for page in pages]
            tags = {tag: first.tags[tag].value for tag in (ORIENTATION, NO_DATA) if tag in first.tags}
            extra = tuple(first.extrasamples)
    except ImageError:
        raise
    # A damaged file can make the reader raise anything.
    except Exception as error:
        if "imagecodecs" in str(error):
            raise ImageError("is compressed in a way that needs a package. Type pip install 'acclimate[tiff]'") from error
        raise ImageError(f"is not a whole image: {error}") from error
    values = np.concatenate(channels, axis=2)
    return Stored(
        _upright(values, tags.get(ORIENTATION, 1)),
        has_alpha=len(extra) == 1 and extra[0] in TRANSPARENCY and values.shape[2] in (2, 4),
        missing=_number(tags.get(NO_DATA)),
    )


def too_many_pixels(num_pixels: int, max_pixels: int) -> ImageError:
    """Return the error for an image with too many pixels."""
    return ImageError(
        f"has {num_pixels} pixels, but the limit is data.max_pixels={max_pixels}, because small files can be huge in memory. "
        f"Type data.max_pixels={num_pixels}, or max_pixels={num_pixels} for predict, if you trust the file"
    )


def _is_single(image: Image.Image) -> bool:
    """Return True if Pillow reads the only channel of an image in its full depth."""
    return image.mode.startswith("I") or image.mode == "F"


def _has_deep_channels(image: Image.Image) -> bool:
    """Return True if Pillow would reduce several channels of 16 bits to 8."""
    if image.format == "TIFF":
        return has_other_channels(image, 1) and max(_tag(image, BITS_PER_SAMPLE), default=1) > 8
    # Once an image is loaded, its tiles and its depth are gone.
    tile: Any = getattr(image, "tile", None)
    return image.format == "PNG" and bool(tile) and str(tile[0][3]) in ("RGB;16B", "RGBA;16B", "LA;16B")


def has_other_channels(image: Image.Image, num: int) -> bool:
    """Return True if a TIFF has another number of channels, some of which Pillow may leave out."""
    samples = _tag(image, SAMPLES_PER_PIXEL)
    return image.format == "TIFF" and bool(samples) and samples != num


def _read_png(image: Image.Image, contents: bytes) -> Stored:
    orientation = image.getexif().get(ORIENTATION, 1)
    decoded = decode_png(torch.frombuffer(bytearray(contents), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    values = decoded.permute(1, 2, 0).numpy()
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple) and values.shape[2] == 3:
        alpha = (values != np.array(transparent)).any(axis=2, keepdims=True) * 65535
        values = np.concatenate([values, alpha.astype(values.dtype)], axis=2)
    return Stored(_upright(values, orientation), has_alpha=values.shape[2] in (2, 4))


def _channels_last(values: NDArray[Any], axes: str) -> NDArray[Any]:
    if values.ndim == 2:
        return values[..., None]
    if values.ndim == 3 and axes.endswith("YX"):
        return values.transpose(1, 2, 0)
    if values.ndim != 3:
        raise ImageError(f"has pixels of the shape {values.shape}, which is not that of an image")
    return values


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Rotate or mirror pixels as the orientation in the metadata requires."""
    turned = {
        2: lambda: values[:, ::-1],
        3: lambda: values[::-1, ::-1],
        4: lambda: values[::-1],
        5: lambda: values.swapaxes(0, 1),
        6: lambda: np.rot90(values, -1),
        7: lambda: values[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(values),
    }.get(orientation, lambda: values)()
    return np.ascontiguousarray(turned)


def _tag(image: Image.Image, tag: int) -> Any:
    """Return the value of a tag of a TIFF; an empty tuple if it is missing."""
    tags: Any = getattr(image, "tag_v2", None)
    return () if tags is None else tags.get(tag, ())


def _number(text: object) -> float | None:
    try:
        return float(str(text).strip("\0 ")) if text else None
    except ValueError:
        return None
