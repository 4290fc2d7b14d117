"""Images as a kind of input."""

import logging
import shlex
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from acclimate.data.images.decoding import MAX_PIXELS, OnBadImage, decoding_threads
from acclimate.data.images.file_search import find_files, is_image
from acclimate.data.images.image_files import ImageFiles
from acclimate.data.images.loose_images import LooseImage, LooseImages
from acclimate.data.images.pixels import pixel_format
from acclimate.data.images.views import ImageView, TransformView, ViewOption, shorter_side
from acclimate.data.kind import Kind, View
from acclimate.data.samples import Samples
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import ImageSpec
from acclimate.ranges import Count

log = logging.getLogger(__name__)

# Smaller images vanish after three poolings.
ImageSize = Annotated[int, Ge(8)]
# Evaluation resizes an image to `image_size / crop` before the centre crop.
Crop = Annotated[float, Gt(0.01), Le(1)]


class Images(Kind):
    """Images as a kind of input, in RGB or with other channels.

    Args:
        image_size: Height and width of the model's images in pixels.
        crop: Share of the shorter side that evaluation keeps, see `ImageView`.
        max_pixels: Largest number of pixels of a file.
        on_bad_image: `error` refuses files that are not complete images, `skip` predicts only the others.
        channels: See `PixelFormat`.
        value_range: See `PixelFormat`.
        nan: See `PixelFormat`.
        background: See `PixelFormat`.

    Raises:
        ConfigError: If the background is not a colour, the range is empty, or `on_bad_image` has another value.
    """

    spec: ImageSpec

    def __init__(
        self,
        *,
        image_size: ImageSize,
        crop: Crop = 1.0,
        max_pixels: Count = MAX_PIXELS,
        on_bad_image: OnBadImage = "error",
        channels: Count = 3,
        value_range: Sequence[float] | None = None,
        nan: float | None = None,
        background: str = "white",
    ) -> None:
        self.spec = ImageSpec(image_size, channels)
        self.image_size = image_size
        self.crop = crop
        self.max_pixels = max_pixels
        if on_bad_image not in get_args(OnBadImage):
            raise ConfigError(f"on_bad_image={on_bad_image} must be error or skip.")
        self.on_bad_image: OnBadImage = on_bad_image
        self.pixels = pixel_format(channels=channels, value_range=value_range, nan=nan, background=background)

    @property
    def shorter_side(self) -> int:
        """Shorter side of an image before the centre crop, in pixels."""
        return shorter_side(self.image_size, self.crop)

    def settings(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("image_size", "crop", "max_pixels", "on_bad_image")},
            **{name: getattr(self.pixels, name) for name in ("channels", "nan", "background")},
            "value_range": self.pixels.value_range and list(self.pixels.value_range),
        }

    def view(self, name: ViewOption) -> View:
        if isinstance(name, v2.Transform):
            return TransformView(name, image_size=self.image_size, crop=self.crop, pixels=self.pixels)
        return ImageView(name, image_size=self.image_size, crop=self.crop)

    def read(self, inputs: LooseImage | Iterable[LooseImage]) -> LooseImages:
        """Read images from Python objects.

        Args:
            inputs: One or more images in any mixture of forms and sizes: paths of files, arrays (uint8, shape (H, W), (H, W, 3) or
                (H, W, 4)) and images of Pillow; or one array of shape (N, H, W, 3). For a model of images of more than 8 bits, arrays
                may contain their stored values; for one of other channels, arrays have as many. A large JPEG whose path is given is
                decoded at the needed resolution only, so its probabilities may differ slightly from those of its pixels.
        """
        is_one = isinstance(inputs, str | PathLike | Image.Image) or (isinstance(inputs, np.ndarray) and inputs.ndim < 4)
        if not is_one and not isinstance(inputs, Iterable):
            raise DataError(
                f"The inputs are of the type {type(inputs).__name__}. Give a path, a NumPy array or an image of Pillow, or several."
            )
        images: list[LooseImage] = [inputs] if is_one else list(inputs)  # type: ignore[arg-type, list-item]
        return LooseImages(images, shorter_side=self.shorter_side, max_pixels=self.max_pixels, pixels=self.pixels)

    def find(self, place: Path) -> tuple[ImageFiles, list[str]]:
        if not place.exists():
            raise DataError(f"inputs={place} does not exist. Type inputs=DIR or inputs=FILE. A relative path starts at {Path.cwd()}.")
        if place.is_file() and not is_image(place):
            advice = "Type inputs=DIR or inputs=FILE; arrays can be predicted in Python."
            if place.suffix.lower() in ("", ".txt", ".csv", ".lst"):
                advice = f"If it lists paths, one per line, type inputs=- < {shlex.quote(str(place))}"
            raise DataError(f"inputs={place} is not an image. {advice}")
        images, names = self.find_all([place])
        return images, [Path(name).relative_to(place).as_posix() if place.is_dir() else name for name in names]

    def find_all(self, places: Sequence[Path]) -> tuple[ImageFiles, list[str]]:
        paths: list[Path] = []
        for place in places:
            if not place.is_dir():
                paths.append(place)
                continue
            found = find_files(place)
            if left_out := found.left_out():
                log.warning("Left out of %s: %s.", place, left_out)
            if not found.images:
                raise DataError(f"There are no images in {place}. Type inputs=DIR, where DIR holds some.")
            paths += found.images
        images = ImageFiles(paths, None, shorter_side=self.shorter_side, max_pixels=self.max_pixels, pixels=self.pixels)
        return images, list(map(str, paths))

    def problems(self, samples: Samples) -> dict[int, str]:
        assert isinstance(samples, ImageFiles | LooseImages)
        with decoding_threads() as threads:
            found = list(threads.map(samples.problem, range(len(samples))))
        return {number: problem for number, problem in enumerate(found) if problem is not None}

    def thumbnails(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Return images as pictures in RGB; of more than three channels the first three."""
        colours = inputs[:, :3] if inputs.shape[1] >= 3 else inputs[:, :1].expand(-1, 3, -1, -1)
        return (255 * colours.clamp(0, 1)).round().to(torch.uint8) if colours.is_floating_point() else colours
