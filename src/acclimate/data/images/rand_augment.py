"""RandAugment (Cubuk et al., "RandAugment: Practical automated data augmentation", CVPR Workshops 2020) for batches."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import atan, degrees
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

NUM_CHANGES = 2
# Share of the strongest change: 10 of the paper's 30 levels.
MAGNITUDE = 1 / 3


class Change(NamedTuple):
    """Index of one of `CHANGES` and its strength, in [-1, 1]."""

    place: int
    magnitude: float


def draw_changes() -> list[Change]:
    """Draw the changes of one image in order, from torch's global generator."""
    changes = []
    for _ in range(NUM_CHANGES):
        place = int(torch.randint(len(CHANGES), ()))
        is_negative = place in SIGNED and bool(torch.rand(()) <= 0.5)
        changes.append(Change(place, -MAGNITUDE if is_negative else MAGNITUDE))
    return changes


def apply_changes(images: Tensor, changes: Sequence[list[Change]]) -> Tensor:
    """Apply changes to images; images with the same change in the same position are processed together.

    Args:
        images: uint8, or float32 in [0, 1], shape (N, C, H, W). Those that are not in RGB are changed channel by channel.
        changes: N results of `draw_changes`.

    Returns:
        New images of the same type and shape.
    """
    if images.shape[1] not in (1, 3):
        num_channels = images.shape[1]
        single = apply_changes(images.flatten(0, 1)[:, None], [one for one in changes for _ in range(num_channels)])
        return single.view_as(images)
    changed = images.clone()
    for turn in zip(*changes, strict=True):
        rows = defaultdict(list)
        for row, change in enumerate(turn):
            rows[change].append(row)
        for (place, magnitude), chosen in rows.items():
            changed[chosen] = CHANGES[place](changed[chosen], magnitude)
    return changed


def _shear(images: Tensor, horizontal: float, vertical: float) -> Tensor:
    angles = [degrees(atan(slope)) for slope in (horizontal, vertical)]
    sheared: Tensor = F.affine(images, angle=0.0, translate=[0, 0], scale=1.0, shear=angles, center=[0.0, 0.0])
    return sheared


def _translate(images: Tensor, horizontal: float, vertical: float) -> Tensor:
    pixels = [int(share * size) for share, size in ((horizontal, images.shape[-1]), (vertical, images.shape[-2]))]
    translated: Tensor = F.affine(images, angle=0.0, translate=pixels, scale=1.0, shear=[0.0, 0.0])
    return translated


# The changes of the paper, in torchvision's order and with its strongest values.
CHANGES: list[Callable[[Tensor, float], Tensor]] = [
    lambda images, _: images,
    lambda images, magnitude: _shear(images, 0.3 * magnitude, 0.0),
    lambda images, magnitude: _shear(images, 0.0, 0.3 * magnitude),
    lambda images, magnitude: _translate(images, 150 / 331 * magnitude, 0.0),
    lambda images, magnitude: _translate(images, 0.0, 150 / 331 * magnitude),
    lambda images, magnitude: F.rotate(images, 30 * magnitude),
    lambda images, magnitude: F.adjust_brightness(images, 1 + 0.9 * magnitude),
    lambda images, magnitude: F.adjust_saturation(images, 1 + 0.9 * magnitude),
    lambda images, magnitude: F.adjust_contrast(images, 1 + 0.9 * magnitude),
    lambda images, magnitude: F.adjust_sharpness(images, 1 + 0.9 * magnitude),
    lambda images, magnitude: F.posterize(images, 8 - round(4 * magnitude)),
    lambda images, magnitude: F.solarize(images, (1 if images.is_floating_point() else 255) * (1 - magnitude)),
    lambda images, _: F.autocontrast(images),
    lambda images, _: F.equalize(images),
]
# Indices of the changes with two directions.
SIGNED = range(1, 10)
