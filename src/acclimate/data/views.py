"""How an image becomes what a model sees: sizes, and random changes for training."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

ViewName = Literal["plain", "shift", "crop_flip", "strong", "strong_crop_flip"]


def shorter_side(image_size: int, crop: float) -> int:
    """What evaluation resizes the shorter side of an image to, in pixels, before it crops the centre."""
    return round(image_size / crop)


class View:
    """A transform of uint8 images to the size of the model.

    Args:
        name: `plain` resizes and crops the centre. `shift` moves by up to an eighth of the size, for what may not be
            mirrored, such as digits. `crop_flip` takes a part of at least a quarter and mirrors half of the images, for
            photographs. `strong` and `strong_crop_flip` add RandAugment (Cubuk et al., 2020) to a shift and to a
            crop_flip, for terms that compare views.
        image_size: Height and width of the result in pixels.
        crop: The share of the shorter side that the centre crop keeps, in (0, 1].
    """

    def __init__(self, name: ViewName, *, image_size: int, crop: float = 1.0) -> None:
        centre = [v2.Resize(shorter_side(image_size, crop), antialias=True), v2.CenterCrop(image_size)]
        shift = [*centre, v2.Pad(image_size // 8, padding_mode="edge"), v2.RandomCrop(image_size)]
        crop_flip = [v2.RandomResizedCrop(image_size, scale=(0.25, 1.0), antialias=True), v2.RandomHorizontalFlip()]
        strong = v2.RandAugment(num_ops=2, magnitude=10)
        steps: dict[str, list[nn.Module]] = {
            "plain": centre,
            "shift": shift,
            "crop_flip": crop_flip,
            "strong": [*shift, strong],
            "strong_crop_flip": [*crop_flip, strong],
        }
        self.random = name != "plain"
        self._transform: Callable[[Tensor], Tensor] = v2.Compose(steps[name])

    def look(self, images: Tensor | list[Tensor], seeds: Sequence[int]) -> Tensor:
        """The view of each image, shape (N, 3, image_size, image_size); what is random depends on the image's seed alone.

        Features, shape (N, D), which a backbone has computed from a view, stay as they are.
        """
        if isinstance(images, Tensor) and images.ndim == 2:
            return images
        if isinstance(images, Tensor) and not self.random:
            return self._transform(images)
        if not self.random:
            return torch.stack([self._transform(image) for image in images])
        with torch.random.fork_rng(devices=[]):
            views = []
            for image, seed in zip(images, seeds, strict=True):
                torch.default_generator.manual_seed(seed)
                views.append(self._transform(image))
            return torch.stack(views)
