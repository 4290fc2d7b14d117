"""Conversion of images of any mode and depth to tensors of one pixel format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from acclimate.data.images.stored_pixels import ImageError, Stored, is_deep, read_stored
from acclimate.errors import ConfigError

# Luma of ITU-R 601, as in Pillow.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# Modes of Pillow with premultiplied colours, and the only modes that it converts them to.
PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}


@dataclass(frozen=True)
class PixelFormat:
    """The format that all images of a run are converted to.

    Attributes:
        channels: 3 is RGB and 1 is grey, whatever the files have; any other number keeps the channels of the files.
        value_range: Stored values that become 0 and 1 in images of more than 8 bits, which are then float32; None: all
            images are uint8.
        nan: Stored value of pixels without a finite value; None refuses them.
        background: Colour behind transparent pixels, by its name in Pillow, such as `white` or `#808080`.

    Raises:
        ConfigError: If the background is not a colour, or the range is empty.
    """

    channels: int = 3
    value_range: tuple[float, float] | None = None
    nan: float | None = None
    background: str = "white"

    def __post_init__(self) -> None:
        try:
            ImageColor.getrgb(self.background)
        except (ValueError, AttributeError) as error:
            raise ConfigError(
                f"data.background={self.background} is not a colour. Name one, such as white, or quote its hexadecimal number: "
                "'data.background=\"#808080\"'."
            ) from error
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            low, high = self.value_range
            raise ConfigError(f"data.value_range=[{low:g},{high:g}] is empty. Name the lower value first: data.value_range=[0,4095].")

    @property
    def colour(self) -> tuple[int, int, int]:
        """Background in RGB, from 0 to 255."""
        red, green, blue = ImageColor.getrgb(self.background)[:3]
        return red, green, blue

    @property
    def accepted_channels(self) -> tuple[int, ...]:
        """Numbers of channels that arrays of images may have; the last of four is transparency."""
        return (1, 3, 4) if self.channels in (1, 3) else (self.channels,)

    @property
    def dtype(self) -> torch.dtype:
        """Type of all images: float32 in [0, 1], or uint8."""
        return torch.uint8 if self.value_range is None else torch.float32


EIGHT_BIT_RGB = PixelFormat()


def pixel_format(*, channels: int, value_range: Sequence[float] | None, nan: float | None, background: str) -> PixelFormat:
    """Return the pixel format of some settings.

    Raises:
        ConfigError: If the background is not a colour, or the range is not two numbers in ascending order.
    """
    if value_range is not None and len(value_range) != 2:
        raise ConfigError(f"data.value_range={list(value_range)} must be two numbers, such as data.value_range=[0,4095].")
    return PixelFormat(channels, None if value_range is None else (float(value_range[0]), float(value_range[1])), nan, background)


def to_tensor(image: Image.Image, shorter_side: int | None = None, pixels: PixelFormat = EIGHT_BIT_RGB) -> Tensor:
    """Convert an image of any mode to a tensor of shape (C, H, W), upright.

    Args:
        image: The image, which is rotated in place if its metadata require it.
        shorter_side: Largest length of the shorter side in pixels, to which larger images are reduced; None: no limit.
        pixels: Format of the tensor.

    Raises:
        ImageError: If the image cannot be converted to that format.
    """
    if is_deep(image):
        return reduced(from_stored(read_stored(image), pixels), shorter_side)
    ImageOps.exif_transpose(image, in_place=True)
    if pixels.channels not in (1, 3):
        plain = image.convert("RGBA") if image.mode.startswith("P") and image.has_transparency_data else image
        plain = plain.convert("RGB") if plain.mode == "P" else plain.convert("L") if plain.mode == "1" else plain
        return reduced(from_stored(Stored(_with_channels(np.array(plain)), has_alpha=False), pixels), shorter_side)
    visible = _compose(image, pixels.colour) if image.has_transparency_data else image
    mode = "RGB" if pixels.channels == 3 else "L"
    # Pillow would copy an image that already has the mode.
    values = _with_channels(np.array(visible if visible.mode == mode else visible.convert(mode)))
    small = reduced(torch.from_numpy(values).permute(2, 0, 1), shorter_side)
    return small if pixels.value_range is None else small.float() / 255


def reduced(image: Tensor, shorter_side: int | None) -> Tensor:
    """Reduce an image to the given length of the shorter side; smaller images are unchanged."""
    if shorter_side is None or min(image.shape[1:]) <= shorter_side:
        return image
    resized: Tensor = F.resize(image, [shorter_side], antialias=True)
    return resized


def from_stored(stored: Stored, pixels: PixelFormat) -> Tensor:
    """Convert the values of a file or an array to a tensor of shape (C, H, W).

    Raises:
        ImageError: If they have other channels, values that are not finite, or an unknown range.
    """
    values, num_bands = stored.values, stored.values.shape[2]
    has_alpha = stored.has_alpha and pixels.channels in (1, 3)
    num_colours = num_bands - has_alpha
    if num_bands != pixels.channels and not (pixels.channels in (1, 3) and num_colours in (1, 3)):
        raise ImageError(
            f"has {num_bands} channels, but data.channels={pixels.channels}. Type data.channels={num_bands} if all images have as many"
        )
    if values.dtype == np.uint8 and num_bands == pixels.channels and pixels.value_range is None:
        return torch.from_numpy(values).permute(2, 0, 1)
    scaled = _scaled(values[..., :num_colours] if has_alpha else values, stored.missing, pixels)
    if has_alpha:
        alpha = _share_of_full_scale(values[..., num_colours:])
        background = np.array(pixels.colour, dtype=np.float32) / 255
        behind = background if num_colours == 3 else (background @ LUMA)[None]
        scaled = (alpha * scaled + (1 - alpha) * behind).astype(np.float32)
    if pixels.channels == 3 and num_colours == 1:
        scaled = scaled.repeat(3, axis=2)
    elif pixels.channels == 1 and num_colours == 3:
        scaled = (scaled @ LUMA)[..., None]
    if pixels.value_range is None:
        scaled = (scaled * 255).round().astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(scaled)).permute(2, 0, 1)


def _scaled(values: NDArray[Any], missing: float | None, pixels: PixelFormat) -> NDArray[np.float32]:
    """Return values as float32 in [0, 1]."""
    if values.dtype.kind == "f" or pixels.nan is not None:
        bad = without_value(values, missing)
        if pixels.nan is None:
            refuse(bad)
        elif bad.any():
            values = np.where(bad, np.asarray(pixels.nan).astype(values.dtype), values)
    low, high = _range_of(values, pixels)
    # Single precision does not hold all whole numbers of 32 bits.
    exact: NDArray[Any] = values.astype(np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64)
    scaled: NDArray[np.float32] = ((exact - low) / (high - low)).clip(0, 1).astype(np.float32)
    return scaled


def without_value(values: NDArray[Any], missing: float | None) -> NDArray[np.bool_]:
    """Return a mask of the values that are not finite or equal the value that marks missing ones."""
    bad = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)
    if missing is not None and np.isfinite(missing):
        bad |= values == np.float64(missing).astype(values.dtype if values.dtype.kind == "f" else np.float64)
    return bad


def refuse(bad: NDArray[np.bool_]) -> None:
    """Check that all pixels have a value.

    Raises:
        ImageError: If there are any.
    """
    if bad.any():
        raise ImageError(
            f"has {int(bad.sum())} pixels without a value (NaN, infinite, or marked as such). Type data.nan=0 to read them as 0"
        )


def _range_of(values: NDArray[Any], pixels: PixelFormat) -> tuple[float, float]:
    """Return the values that become 0 and 1: those of 8 bits, those of the run, or the usual range of the type."""
    if values.dtype == np.uint8:
        return 0, 255
    if values.dtype == np.bool_:
        return 0, 1
    if pixels.value_range is not None:
        return pixels.value_range
    largest = 1 if values.dtype.kind == "f" else 65535
    if values.size and (values.min() < 0 or values.max() > largest):
        raise ImageError(
            f"has values from {values.min():g} to {values.max():g}, but where no data.value_range is known they must be from 0 to {largest}"
        )
    return 0, largest


def _share_of_full_scale(alpha: NDArray[Any]) -> NDArray[np.float32]:
    full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
    share: NDArray[np.float32] = (alpha.astype(np.float32) / full).clip(0, 1)
    return share


def _compose(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Compose a transparent image with a background, as viewers do."""
    rgba = image.convert(PREMULTIPLIED.get(image.mode, image.mode)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, colour), rgba).convert("RGB")


def _with_channels(values: NDArray[Any]) -> NDArray[Any]:
    return values[..., None] if values.ndim == 2 else values
