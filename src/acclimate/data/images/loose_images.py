"""Images from Python objects: paths, arrays and Pillow images."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from acclimate.data.images.decoding import MAX_PIXELS, decode, without_pillows_advice
from acclimate.data.images.pixels import EIGHT_BIT_RGB, PixelFormat, from_stored, reduced, to_tensor
from acclimate.data.images.stored_pixels import ImageError, Stored, is_deep
from acclimate.data.samples import Samples
from acclimate.errors import BadInputError, DataError

LooseImage = str | PathLike[str] | NDArray[np.uint8] | Image.Image


class LooseImages(Samples):
    """Unlabelled images in various forms, each processed as if it came from a file.

    Args:
        images: Paths, arrays or Pillow images, see `Images.read`.
        shorter_side: As for `decode`.
        max_pixels: As for `decode`.
        pixels: Pixel format of all images.
    """

    is_at_hand = False

    def __init__(
        self,
        images: Sequence[LooseImage],
        *,
        shorter_side: int | None = None,
        max_pixels: int = MAX_PIXELS,
        pixels: PixelFormat = EIGHT_BIT_RGB,
    ) -> None:
        self.images = images
        self.labels = None
        self.shorter_side = shorter_side
        self.max_pixels = max_pixels
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        image = self.images[index]
        return str(image) if isinstance(image, str | PathLike) else f"inputs[{index}]"

    def load(self, indices: Sequence[int]) -> list[Tensor]:
        with without_pillows_advice():
            return [self._read(index, self.shorter_side) for index in indices]

    def problem(self, index: int) -> str | None:
        """Return the problem of an image; None if it is complete."""
        try:
            self._read(index, shorter_side=1)
        except BadInputError as error:
            return error.problem
        return None

    def take(self, indices: Sequence[int]) -> Self:
        chosen = [self.images[index] for index in indices]
        return type(self)(chosen, shorter_side=self.shorter_side, max_pixels=self.max_pixels, pixels=self.pixels)

    def _read(self, index: int, shorter_side: int | None) -> Tensor:
        image: Any = self.images[index]
        if isinstance(image, str | PathLike):
            if Path(image).is_dir():
                raise DataError(f"{image} is a folder. Give the files in it, such as Path({str(image)!r}).glob('*.jpg').")
            return decode(Path(image), shorter_side, self.max_pixels, self.pixels)
        try:
            if isinstance(image, np.ndarray):
                return reduced(from_stored(self._stored(image, index), self.pixels), shorter_side)
            if isinstance(image, Image.Image):
                # A copy, because the image of the caller must not change. A copy of a deep image would lose what is not decoded yet.
                upright = image if is_deep(image) else ImageOps.exif_transpose(image)
                return to_tensor(upright, shorter_side, self.pixels)
        except ImageError as problem:
            raise self._bad_image(index, str(problem)) from problem
        except (OSError, ValueError, SyntaxError) as error:
            raise self._bad_image(index, f"is not a whole image: {error}. Repair it") from error
        raise DataError(f"{self.name(index)} is of the type {type(image).__name__}. Give a path, a NumPy array or an image of Pillow.")

    def _bad_image(self, index: int, problem: str) -> BadInputError:
        return BadInputError(f"{self.name(index)} {problem}, or leave it out.", self.name(index), problem)

    def _stored(self, array: NDArray[Any], index: int) -> Stored:
        num_bands = 1 if array.ndim == 2 else array.shape[-1]
        allowed = self.pixels.accepted_channels
        is_shaped = array.ndim in (2, 3) and array.size and num_bands in allowed
        if not is_shaped or not (array.dtype == np.uint8 or (self.pixels.value_range is not None and array.dtype.kind in "iuf")):
            shapes = " or ".join("(H, W)" if number == 1 else f"(H, W, {number})" for number in allowed)
            raise DataError(
                f"{self.name(index)} is an array of {array.dtype} with the shape {array.shape}. Give uint8 with the shape {shapes}. "
                "Values in [0, 1] become uint8 with (255 * array).round().astype('uint8')."
            )
        return Stored(array[..., None] if array.ndim == 2 else array, has_alpha=num_bands == 4)
