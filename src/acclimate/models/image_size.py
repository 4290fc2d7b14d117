"""Sizes of images that a backbone takes beside the one that it was made for."""

import torch

from acclimate.errors import ConfigError
from acclimate.models.backbones import Backbone
from acclimate.models.modes import evaluation


def refuse_image_size(backbone: Backbone, image_size: int | None) -> None:
    """Look whether a model takes images of a size that it was not made for.

    Args:
        backbone: On any device.
        image_size: Height and width in pixels; None is what the model was made for.

    Raises:
        ConfigError: If it does not.
    """
    usual = backbone.image_size
    # Of much larger images one may be more than the memory holds, and models that take any size take these.
    if image_size is None or image_size == usual or (image_size > 2 * usual and not backbone.has_fixed_size):
        return
    if backbone.has_fixed_size:
        raise ConfigError(f"The model takes images of {usual} pixels only, but data.image_size is {image_size}. Leave the key out.")
    if not _takes_size(backbone, image_size):
        between = range(image_size + 1, usual) if image_size < usual else range(image_size - 1, usual, -1)
        nearest = next((size for size in between if _takes_size(backbone, size)), usual)
        raise ConfigError(
            f"data.image_size={image_size} is not a size of images that the model takes: it was made for {usual} pixels. "
            f"The nearest size that works is data.image_size={nearest}."
        )


def _takes_size(backbone: Backbone, image_size: int) -> bool:
    """Whether features come out of images of this height and width, in pixels; some networks have nothing left of small ones."""
    images = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8, device=backbone.mean.device)
    try:
        with evaluation(backbone):
            backbone(images)
    except (RuntimeError, AssertionError, ValueError):
        # The last two are of models of timm that divide images into windows.
        return False
    return True
