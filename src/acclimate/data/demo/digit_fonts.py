"""Digits 0 to 9, rendered from the fonts of matplotlib."""

import functools
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor
from torch.nn import functional as F

FONTS = [
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
]

# Size of a glyph before it is warped, large enough that small rotations leave no jagged strokes.
GLYPH_SIZE = 64
# Pixels by which the strokes of a glyph become wider or narrower; the window of the filter is 2 · |change| + 1 wide.
STROKE_CHANGES = (-1, 0, 2, 4)
# Half-widths of the uniform distributions of the warp: degrees, fraction of the width, logarithm of the ratio.
MAX_ROTATION = 15.0
MAX_SHEAR = 0.3
MAX_LOG_ASPECT = 0.35
MAX_SHIFT = 0.08
# The larger side of a digit as a fraction of the frame.
EXTENT = (0.8, 1.05)
# Standard deviation of the blur, in pixels of the finished image.
BLUR = (0.3, 1.6)


@functools.cache
def draw_glyph(font: str, digit: int, stroke_change: int) -> Tensor:
    """Draw a digit, white on black, that touches the frame on all sides; shape (GLYPH_SIZE, GLYPH_SIZE), in [0, 1]."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    canvas = Image.new("L", (3 * GLYPH_SIZE, 3 * GLYPH_SIZE))
    centre = (canvas.width / 2, canvas.height / 2)
    ImageDraw.Draw(canvas).text(centre, str(digit), 255, ImageFont.truetype(str(path), 96), anchor="mm")
    if stroke_change:
        window = 2 * abs(stroke_change) + 1
        canvas = canvas.filter(ImageFilter.MaxFilter(window) if stroke_change > 0 else ImageFilter.MinFilter(window))
    glyph = canvas.crop(canvas.getbbox()).resize((GLYPH_SIZE, GLYPH_SIZE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(glyph, dtype=np.float32) / 255)


def warp(glyphs: Tensor, image_size: int, generator: torch.Generator) -> Tensor:
    """Warp each glyph to a random size, position, rotation, shear and aspect; shape (N, 1, image_size, image_size)."""
    num = len(glyphs)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(num, generator=generator)

    angle = torch.deg2rad(uniform(-MAX_ROTATION, MAX_ROTATION))
    shear = uniform(-MAX_SHEAR, MAX_SHEAR)
    # Digits are taller than wide: 0.62 is the median ratio over the fonts.
    log_aspect = uniform(-MAX_LOG_ASPECT, MAX_LOG_ASPECT)
    height = uniform(*EXTENT)
    width = 0.62 * height * torch.exp(log_aspect)
    # The sampling grid maps positions of the result to positions of the glyph, so the matrix is the inverse of the warp.
    forward = torch.stack(
        [
            torch.stack([width * torch.cos(angle), height * (shear * torch.cos(angle) - torch.sin(angle))], dim=1),
            torch.stack([width * torch.sin(angle), height * (shear * torch.sin(angle) + torch.cos(angle))], dim=1),
        ],
        dim=1,
    )
    inverse = torch.linalg.inv(forward)
    shift = torch.stack([uniform(-MAX_SHIFT, MAX_SHIFT), uniform(-MAX_SHIFT, MAX_SHIFT)], dim=1)[:, :, None]
    grid = F.affine_grid(torch.cat([inverse, -inverse @ shift], dim=2), [num, 1, image_size, image_size], align_corners=False)
    return F.grid_sample(glyphs[:, None], grid, align_corners=False)


def blur(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur each image of (N, 1, H, W) by a Gaussian of random width."""
    low, high = BLUR
    width = low + (high - low) * torch.rand(len(images), 1, generator=generator)
    offsets = torch.arange(-4.0, 5.0)
    kernels = torch.exp(-(offsets**2) / (2 * width**2))
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    num, _, height, columns = images.shape
    # One group per image, each with its own kernel.
    rows = F.conv2d(images.view(1, num, height, columns), kernels.view(num, 1, 9, 1), padding=(4, 0), groups=num)
    return F.conv2d(rows, kernels.view(num, 1, 1, 9), padding=(0, 4), groups=num).view_as(images)


def render_digits(num_images: int, image_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Render digits, with all classes equally frequent up to one image.

    Args:
        num_images: Number of images, at least 1.
        image_size: Height and width in pixels.
        seed: Seed of the images.

    Returns:
        Images, uint8, shape (N, 1, image_size, image_size), white on black, and labels, int64, shape (N,).
    """
    generator = torch.Generator().manual_seed(seed)
    glyphs = torch.stack([draw_glyph(font, digit, change) for font in FONTS for change in STROKE_CHANGES for digit in range(10)])
    labels = torch.arange(num_images) % 10
    style = torch.randint(len(glyphs) // 10, (num_images,), generator=generator)
    images = blur(warp(glyphs[style * 10 + labels], image_size, generator), generator)
    brightest = images.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
    return (255 * images / brightest).round().to(torch.uint8), labels
