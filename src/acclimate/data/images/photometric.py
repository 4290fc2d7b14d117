"""Strong augmentations of photographs in addition to RandAugment: colour jitter, greyscale, blur and Cutout."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Colour jitter, greyscale and blur of Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
# ICML 2020, appendix A. The jitter has half of the strength, as in the paper for small images: RandAugment also changes colours.
JITTER_PROBABILITY = 0.8
GREYSCALE_PROBABILITY = 0.2
BLUR_PROBABILITY = 0.5
BRIGHTNESS = CONTRAST = SATURATION = 0.4
HUE = 0.1
SIGMAS = (0.1, 2.0)
# The width of the blur's kernel is a tenth of the image's side.
RADIUS = 1 / 20
# Cutout of Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", NeurIPS 2020,
# appendix on augmentations: the side of a grey square, as a share of the image's, is drawn up to this.
LARGEST_CUTOUT = 0.5
GREY = 127.0
# Luma of ITU-R 601, as in torchvision.
LUMA = (0.299, 0.587, 0.114)


class Change(NamedTuple):
    """Changes of one image.

    Args:
        brightness: Factor of all values; 1 changes nothing.
        contrast: Factor of the distance from the mean luma.
        saturation: Factor of the distance from grey; 0 is greyscale.
        hue: Rotation around the grey axis, in turns.
        sigma: Standard deviation of the blur in pixels; 0 is none.
        cutout: Side of the hidden square as a share of the image's side, and the position of its centre, from 0 to 1.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    sigma: float = 0.0
    cutout: tuple[float, float, float] = (0.0, 0.5, 0.5)


def draw_change() -> Change:
    """Draw the changes of one image from torch's global generator."""
    # The same number of draws for each image, even if they are not used.
    jitters, greys, blurs, brightness, contrast, saturation, hue, sigma, side, row, column = torch.rand(11).tolist()
    change = Change(sigma=SIGMAS[0] + sigma * (SIGMAS[1] - SIGMAS[0]), cutout=(LARGEST_CUTOUT * side, row, column))
    if jitters < JITTER_PROBABILITY:
        change = change._replace(
            brightness=1 + BRIGHTNESS * (2 * brightness - 1),
            contrast=1 + CONTRAST * (2 * contrast - 1),
            saturation=1 + SATURATION * (2 * saturation - 1),
            hue=HUE * (2 * hue - 1),
        )
    if greys < GREYSCALE_PROBABILITY:
        change = change._replace(saturation=0.0)
    return change if blurs < BLUR_PROBABILITY else change._replace(sigma=0.0)


def apply_changes(images: Tensor, changes: Sequence[Change]) -> Tensor:
    """Apply colour jitter, blur and Cutout, in this order, to images with individual changes.

    Values are clipped once, at the end, and those of uint8 rounded. Images that are not in RGB keep
    saturation and hue. Hue is rotated linearly, not in HSV, which takes ten times as long.

    Args:
        images: uint8, or float32 in [0, 1], shape (N, C, H, W).
        changes: N results of `draw_change`.

    Returns:
        New images of the same type and shape.
    """
    return torch.stack([_changed(image, change) for image, change in zip(images, changes, strict=True)])


def _changed(image: Tensor, change: Change) -> Tensor:
    values, is_rgb, full = image.float(), len(image) == 3, 1.0 if image.is_floating_point() else 255.0
    colours = (colour_matrix(change) @ values.flatten(1)).view_as(values) if is_rgb else change.brightness * values
    if change.contrast != 1.0:
        means = values.mean(dim=(1, 2))
        luma = change.brightness * (means @ torch.tensor(LUMA) if is_rgb else means.mean())
        colours = colours * change.contrast + (1 - change.contrast) * luma
    if change.sigma > 0:
        colours = _blurred(colours, change.sigma)
    share, row, column = change.cutout
    _, height, width = image.shape
    half = share * min(height, width) / 2
    rows, columns = (slice(max(round(at - half), 0), max(round(at + half), 0)) for at in (row * height, column * width))
    colours[:, rows, columns] = GREY * (full / 255)
    return (colours if full == 1 else colours.round_()).clamp_(0, full).to(image.dtype)


def colour_matrix(change: Change) -> Tensor:
    """Return the linear map of colours for brightness, saturation and hue, shape (3, 3)."""
    grey = torch.tensor(LUMA).expand(3, 3)
    angle = 2 * math.pi * change.hue
    # Rodrigues' rotation around (1, 1, 1), as a circulant matrix.
    first = (1 + 2 * math.cos(angle)) / 3
    second, third = ((1 - math.cos(angle)) / 3 + sign * math.sin(angle) / math.sqrt(3) for sign in (-1, 1))
    rotation = torch.tensor([[first, second, third], [third, first, second], [second, third, first]])
    return change.brightness * (grey + change.saturation * (rotation @ (torch.eye(3) - grey)))


def _blurred(values: Tensor, sigma: float) -> Tensor:
    """Gaussian blur along rows and then along columns by sums of shifted images, which is faster for small kernels."""
    height, width = values.shape[1:]
    # Weights beyond three standard deviations are negligible.
    radius = max(min(math.ceil(3 * sigma), round(RADIUS * min(height, width))), 1)
    weights = [math.exp(-(distance**2) / (2 * sigma**2)) for distance in range(radius + 1)]
    total = 2 * sum(weights) - weights[0]
    # Reflection at the borders needs an image larger than the radius.
    mode = "reflect" if radius < min(height, width) else "replicate"
    blurred = F.pad(values[None], [radius] * 4, mode=mode)[0]
    for dim, size in ((1, height), (2, width)):
        padded = blurred
        blurred = padded.narrow(dim, radius, size) * (weights[0] / total)
        for distance in range(1, radius + 1):
            for start in (radius - distance, radius + distance):
                blurred.add_(padded.narrow(dim, start, size), alpha=weights[distance] / total)
    return blurred
