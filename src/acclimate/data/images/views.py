"""How an image becomes what a model sees: sizes, and random changes for training."""

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

Transform = Callable[[Tensor], Tensor] | None
ViewName = Literal["plain", "shift", "crop_flip", "strong", "strong_crop_flip"]


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
