"""Images from Python objects: paths, arrays and Pillow images."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from acclimate.data.images.image_files import MAX_PIXELS, decode, to_tensor, without_pillows_advice
from acclimate.data.samples import Samples
from acclimate.errors import DataError

LooseImage = str | PathLike[str] | NDArray[np.uint8] | Image.Image


class LooseImages(Samples):
    """Unlabelled images in various forms, each processed as if it came from a file.

    Args:
        images: Paths, arrays or Pillow images, see `Images.read`.
        shorter_side: As for `decode`.
        max_pixels: As for `decode`.
    """

    is_at_hand: ClassVar[bool] = False

    def __init__(self, images: Sequence[LooseImage], *, shorter_side: int | None = None, max_pixels: int = MAX_PIXELS) -> None:
        self.images = images
        self.labels = None
        self.shorter_side = shorter_side
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        image = self.images[index]
        return str(image) if isinstance(image, str | PathLike) else f"inputs[{index}]"

    def load(self, indices: Sequence[int]) -> list[Tensor]:
        with without_pillows_advice():
            return [self._read(index) for index in indices]

    def take(self, indices: Sequence[int]) -> Self:
        return type(self)([self.images[index] for index in indices], shorter_side=self.shorter_side, max_pixels=self.max_pixels)

    def _read(self, index: int) -> Tensor:
        image: Any = self.images[index]
        if isinstance(image, str | PathLike):
            if Path(image).is_dir():
                raise DataError(f"{image} is a folder. Give the files in it, such as Path({str(image)!r}).glob('*.jpg').")
            return decode(Path(image), self.shorter_side, self.max_pixels)
        if isinstance(image, np.ndarray):
            image = self._from_array(image, index)
        if not isinstance(image, Image.Image):
            raise DataError(f"{self.name(index)} is of the type {type(image).__name__}. Give a path, a NumPy array or a Pillow image.")
        try:
            # A copy, because the caller's image must not change.
            return to_tensor(ImageOps.exif_transpose(image), self.shorter_side)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{self.name(index)} is not a whole image: {error}. Leave it out.") from error

    def _from_array(self, array: NDArray[Any], index: int) -> Image.Image:
        is_grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
        if array.dtype != np.uint8 or not array.size or not (is_grey or (array.ndim == 3 and array.shape[2] in (3, 4))):
            raise DataError(
                f"{self.name(index)} is an array of {array.dtype} with the shape {array.shape}. Give uint8 with the shape (H, W), "
                "(H, W, 3) or (H, W, 4). Values in [0, 1] become uint8 with (255 * array).round().astype('uint8')."
            )
        return Image.fromarray(array.squeeze(2) if is_grey and array.ndim == 3 else array)
