"""Views of images: resizing to the size of the model, and random augmentation for training."""

import hashlib
import pickle
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from acclimate.data.images import photometric, rand_augment
from acclimate.data.images.pixels import EIGHT_BIT_RGB, PixelFormat
from acclimate.data.kind import View
from acclimate.errors import ConfigError

Transform = Callable[[Tensor], Tensor] | None
ViewName = Literal["plain", "shift", "crop_flip", "strong", "strong_crop_flip"]
# A name, or an object of torchvision.
ViewOption = ViewName | v2.Transform


def shorter_side(image_size: int, crop: float) -> int:
    """Return the shorter side, in pixels, to which evaluation resizes an image before the centre crop."""
    return round(image_size / crop)


class RandomPart(v2.RandomResizedCrop):  # type: ignore[misc]
    """Torchvision's random resized crop in half of the time: a contiguous crop is resized faster."""

    def transform(self, image: Tensor, params: dict[str, Any]) -> Tensor:
        part = F.crop(image, **params)
        resized: Tensor = F.resize(part.permute(1, 2, 0).contiguous().permute(2, 0, 1), self.size, antialias=self.antialias)
        return resized


class ImageView(View):
    """A transform of images, uint8 or float32 in [0, 1], to the size of the model.

    Args:
        name: `plain` resizes and crops the centre. `shift` shifts by up to an eighth of the size, for images that must not be
            mirrored, such as digits. `crop_flip` crops at least a quarter of the area and mirrors half of the images, for
            photographs. `strong` and `strong_crop_flip` add RandAugment (Cubuk et al., 2020) to shift and crop_flip, for terms
            that compare views; `strong_crop_flip` also adds colour jitter, greyscale and blur, as in SimCLR, and Cutout, as in
            FixMatch.
        image_size: Height and width of the result in pixels.
        crop: Share of the shorter side that the centre crop keeps, in (0, 1].
    """

    def __init__(self, name: ViewName, *, image_size: int, crop: float = 1.0) -> None:
        base = name.removeprefix("strong_").replace("strong", "shift")
        crop_flip = [RandomPart(image_size, scale=(0.25, 1.0), antialias=True), v2.RandomHorizontalFlip()]
        # The common part for all images, and the random part for each.
        self._fit: Transform = (
            None
            if base == "crop_flip"
            else partial(_centre, image_size=image_size, crop=crop, margin=image_size // 8 if base == "shift" else 0)
        )
        self._move: Transform = {"plain": None, "shift": v2.RandomCrop(image_size), "crop_flip": v2.Compose(crop_flip)}[base]
        self.name = name
        self.random = self._move is not None
        self._strong = name.startswith("strong")
        self._photometric = name == "strong_crop_flip"

    def code(self) -> list[Path]:
        return [*super().code(), *(Path(str(module.__file__)) for module in (photometric, rand_augment))]

    def look(self, images: Tensor | list[Tensor], seeds: Sequence[int]) -> Tensor:
        """Return the view of each image, shape (N, C, image_size, image_size).

        Args:
            images: One tensor of shape (N, C, H, W) if all have one size, else a list of (C, H, W).
            seeds: See `View`.
        """
        if self._fit is not None:
            images = self._fit(images) if isinstance(images, Tensor) else _stack([self._fit(image) for image in images])
        if self._move is None:
            assert isinstance(images, Tensor)
            return images
        views, changes, photometric_changes = [], [], []
        with torch.random.fork_rng(devices=[]):
            for image, seed in zip(images, seeds, strict=True):
                torch.default_generator.manual_seed(seed)
                views.append(self._move(image))
                if self._strong:
                    changes.append(rand_augment.draw_changes())
                if self._photometric:
                    photometric_changes.append(photometric.draw_change())
        seen = _stack(views)
        if self._strong:
            seen = rand_augment.apply_changes(seen, changes)
        return photometric.apply_changes(seen, photometric_changes) if self._photometric else seen


class TransformView(View):
    """A view by a transform of torchvision, such as `ColorJitter`, or several in a `Compose`.

    It is called with one image at a time, uint8 and of shape (3, H, W) unless `pixels` says otherwise, whose shorter side is
    `image_size / crop`. Of an image that it gives in another size than the model's, the centre is taken.

    Args:
        transform: A transform that uses only torch's global generator and keeps dtype and channels; the model normalises.
        image_size: Height and width of the result in pixels.
        crop: As for `ImageView`.
        pixels: The form of the images.

    Raises:
        ConfigError: If the transform fails for such an image, or changes its dtype or channels.
    """

    def __init__(self, transform: v2.Transform, *, image_size: int, crop: float = 1.0, pixels: PixelFormat = EIGHT_BIT_RGB) -> None:
        self.transform = transform
        self.pixels = pixels
        self.image_size = image_size
        self.side = shorter_side(image_size, crop)
        self.random = True
        # With a hash of all settings, which the transform's text does not all contain, as the key of cached features.
        self.name = f"{type(transform).__name__} {hashlib.sha256(pickle.dumps(transform, protocol=5)).hexdigest()[:16]}"
        self._try()

    def code(self) -> list[Path]:
        classes = {type(part).__module__ for part in self.transform.modules()}
        return [*super().code(), *(Path(sys.modules[module].__file__ or "") for module in sorted(classes))]

    def look(self, images: Tensor | list[Tensor], seeds: Sequence[int]) -> Tensor:
        """Return the view of each image, as for `ImageView`."""
        return _stack([self._see(image, seed) for image, seed in zip(images, seeds, strict=True)])

    def _see(self, image: Tensor, seed: int) -> Tensor:
        if min(image.shape[-2:]) != self.side:
            image = F.resize(image, [self.side], antialias=True)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            seen: Tensor = self.transform(image)
        is_fitting = seen.shape[-2:] == (self.image_size, self.image_size)
        return seen if is_fitting else _centre(seen, image_size=self.image_size, crop=1.0, margin=0)

    def _try(self) -> None:
        name = type(self.transform).__name__
        try:
            seen = self._see(torch.zeros(self.pixels.channels, self.side, self.side, dtype=self.pixels.dtype), 0)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            raise ConfigError(f"The view {name} cannot be used on an image of {self.side} x {self.side} pixels: {error}") from error
        kept = self.pixels.dtype, self.pixels.channels
        if (seen.dtype, seen.shape[-3]) != kept:
            raise ConfigError(
                f"The view {name} returns {seen.dtype} with {seen.shape[-3]} channels, but a view must keep {kept[0]} with {kept[1]}. "
                "Leave out transforms that change the dtype or normalise: the model does so itself."
            )


def _centre(images: Tensor, *, image_size: int, crop: float, margin: int) -> Tensor:
    """Resize images if necessary, crop the centre, and add a margin of repeated pixels."""
    side = shorter_side(image_size, crop)
    if min(images.shape[-2:]) != side:
        images = F.resize(images, [side], antialias=True)
    centre: Tensor = F.center_crop(images, [image_size, image_size])
    return F.pad(centre, [margin], padding_mode="edge") if margin else centre


def _stack(images: list[Tensor]) -> Tensor:
    """Stack images of the same size in their layout, which is channels-last for files, as convolutions prefer."""
    if images[0].stride(0) == 1:
        return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
    return torch.stack(images)
