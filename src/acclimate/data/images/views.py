"""How an image becomes what a model sees: sizes, and random changes for training."""

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
from acclimate.data.kind import View
from acclimate.errors import ConfigError

Transform = Callable[[Tensor], Tensor] | None
ViewName = Literal["plain", "shift", "crop_flip", "strong", "strong_crop_flip"]
# By name, or by an object of torchvision.
ViewOption = ViewName | v2.Transform


def shorter_side(image_size: int, crop: float) -> int:
    """What evaluation resizes the shorter side of an image to, in pixels, before it crops the centre."""
    return round(image_size / crop)


class RandomPart(v2.RandomResizedCrop):  # type: ignore[misc]
    """Torchvision's, in half of the time: a part whose pixels were put side by side first is resized faster."""

    def transform(self, image: Tensor, params: dict[str, Any]) -> Tensor:
        part = F.crop(image, **params)
        resized: Tensor = F.resize(part.permute(1, 2, 0).contiguous().permute(2, 0, 1), self.size, antialias=self.antialias)
        return resized


class ImageView(View):
    """A transform of uint8 images to the size of the model.

    Args:
        name: `plain` resizes and crops the centre. `shift` moves by up to an eighth of the size, for what may not be
            mirrored, such as digits. `crop_flip` takes a part of at least a quarter and mirrors half of the images, for
            photographs. `strong` and `strong_crop_flip` add RandAugment (Cubuk et al., 2020) to a shift and to a
            crop_flip, for terms that compare views; `strong_crop_flip` also adds colour jitter, greyscale and blur, as
            SimCLR does, and Cutout, as FixMatch does.
        image_size: Height and width of the result in pixels.
        crop: The share of the shorter side that the centre crop keeps, in (0, 1].
    """

    def __init__(self, name: ViewName, *, image_size: int, crop: float = 1.0) -> None:
        base = name.removeprefix("strong_").replace("strong", "shift")
        crop_flip = [RandomPart(image_size, scale=(0.25, 1.0), antialias=True), v2.RandomHorizontalFlip()]
        # What all images get alike, and what each gets by chance.
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
        """Return the view of each image, shape (N, 3, image_size, image_size).

        Args:
            images: uint8: one tensor of shape (N, 3, H, W) if all have one size, else a list of (3, H, W).
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

    It is called with one image at a time, uint8 and of shape (3, H, W), whose shorter side is `image_size / crop`. Of an
    image that it gives in another size than the model's, the centre is taken.

    Args:
        transform: Random by the global generator of torch alone. It keeps type and channels: the model normalises.
        image_size: Height and width of the result in pixels.
        crop: As for `ImageView`.

    Raises:
        ConfigError: If the transform cannot be used on such an image, or gives something else.
    """

    def __init__(self, transform: v2.Transform, *, image_size: int, crop: float = 1.0) -> None:
        self.transform = transform
        self.image_size = image_size
        self.side = shorter_side(image_size, crop)
        self.random = True
        # With all settings, which a transform's text leaves out in part, so that kept features are not those of others.
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
            seen = self._see(torch.zeros(3, self.side, self.side, dtype=torch.uint8), 0)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            raise ConfigError(f"The view {name} cannot be used on an image of {self.side} x {self.side} pixels: {error}") from error
        if seen.dtype != torch.uint8 or seen.shape[-3] != 3:
            raise ConfigError(
                f"The view {name} gives {seen.dtype} with {seen.shape[-3]} channels, but a view keeps uint8 with 3. "
                "Leave out what changes the type or normalises: the model does so itself."
            )


def _centre(images: Tensor, *, image_size: int, crop: float, margin: int) -> Tensor:
    """The centre of images, which are resized first unless they have the size already, with a margin of repeated pixels around it."""
    side = shorter_side(image_size, crop)
    if min(images.shape[-2:]) != side:
        images = F.resize(images, [side], antialias=True)
    centre: Tensor = F.center_crop(images, [image_size, image_size])
    return F.pad(centre, [margin], padding_mode="edge") if margin else centre


def _stack(images: list[Tensor]) -> Tensor:
    """Images of one size as one tensor, in the layout that they have: for those of files channels_last, which convolutions want."""
    if images[0].stride(0) == 1:
        return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
    return torch.stack(images)
