"""Images as a kind of input."""

import itertools
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.utils import make_grid

from acclimate.data.images.image_files import MAX_PIXELS, ImageFiles, OnBadImage, find_files, keep_whole_images
from acclimate.data.images.loose_images import LooseImage, LooseImages
from acclimate.data.images.views import ImageView, TransformView, ViewOption, shorter_side
from acclimate.data.kind import Kind, View
from acclimate.errors import DataError
from acclimate.inputs import ImageSpec
from acclimate.ranges import Count

# Smaller images vanish after three poolings.
ImageSize = Annotated[int, Ge(8)]
# Evaluation resizes an image to `image_size / crop` before the centre crop.
Crop = Annotated[float, Gt(0.01), Le(1)]

DRAWN_IN_A_ROW = 16


class Images(Kind):
    """RGB images as a kind of input.

    Args:
        image_size: Height and width of the model's images in pixels.
        crop: Share of the shorter side that evaluation keeps, see `ImageView`.
        max_pixels: Largest number of pixels of a file.
        on_bad_image: `error` refuses a folder with a file that is not a complete image, `skip` leaves the file out.
    """

    spec: ImageSpec

    def __init__(
        self, *, image_size: ImageSize, crop: Crop = 1.0, max_pixels: Count = MAX_PIXELS, on_bad_image: OnBadImage = "error"
    ) -> None:
        self.spec = ImageSpec(image_size)
        self.image_size = image_size
        self.crop = crop
        self.max_pixels = max_pixels
        self.on_bad_image: OnBadImage = on_bad_image

    @property
    def shorter_side(self) -> int:
        """Shorter side of an image before the centre crop, in pixels."""
        return shorter_side(self.image_size, self.crop)

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("image_size", "crop", "max_pixels", "on_bad_image")}

    def view(self, name: ViewOption) -> View:
        if isinstance(name, v2.Transform):
            return TransformView(name, image_size=self.image_size, crop=self.crop)
        return ImageView(name, image_size=self.image_size, crop=self.crop)

    def read(self, inputs: LooseImage | Iterable[LooseImage]) -> LooseImages:
        """Read images from Python objects.

        Args:
            inputs: One image or several: paths of files, arrays (uint8, shape (H, W), (H, W, 3) or (H, W, 4)) and Pillow images
                of any sizes, also mixed; or one array of shape (N, H, W, 3). A large JPEG given as a path is only decoded at the
                needed resolution, so its probabilities may differ slightly from those of its pixels.
        """
        is_one = isinstance(inputs, str | PathLike | Image.Image) or (isinstance(inputs, np.ndarray) and inputs.ndim < 4)
        images: list[LooseImage] = [inputs] if is_one else list(inputs)  # type: ignore[arg-type, list-item]
        return LooseImages(images, shorter_side=self.shorter_side, max_pixels=self.max_pixels)

    def find(self, place: Path) -> tuple[ImageFiles, list[str]]:
        paths = find_files(place)
        if not paths:
            raise DataError(f"There are no images in {place}. Type inputs=DIR.")
        whole = keep_whole_images(paths, self.on_bad_image, self.max_pixels)
        images = ImageFiles(whole, None, shorter_side=self.shorter_side, max_pixels=self.max_pixels)
        return images, [path.relative_to(place).as_posix() for path in whole]

    def draw(self, domains: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        """Draw a grid with one row of images per domain."""
        grid: Tensor = make_grid(list(itertools.chain(*domains.values())), nrow=DRAWN_IN_A_ROW, padding=1, pad_value=255)
        return grid
