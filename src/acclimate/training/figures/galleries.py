"""Pictures of samples, with a title for each group and a caption for each sample."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Height of a sample in pixels, and of a line of text below it.
SIDE, LINE, GAP = 64, 13, 6
TITLE = 26
# Titles need the width of so many samples.
COLUMNS = 10


class Group(NamedTuple):
    """A group of samples.

    Attributes:
        title: Title above the samples.
        thumbnails: Their pictures, uint8, shape (N, 3, H, W).
        captions: Text below each of the N samples, of one to three lines; empty: none.
    """

    title: str
    thumbnails: Tensor
    captions: Sequence[str] = ()


def draw_gallery(groups: Sequence[Group]) -> Tensor:
    """Draw groups of samples below each other as a picture, uint8, shape (3, H, W)."""
    from matplotlib.figure import Figure

    from acclimate.figures import picture

    texts: list[tuple[float, float, str, dict[str, Any]]] = []
    rows, top = [], 0
    for title, thumbnails, captions in groups:
        tiles = resized(thumbnails, SIDE)
        texts.append((GAP, top + TITLE / 2, title, {"ha": "left", "va": "center", "fontsize": 9}))
        lines = max((caption.count("\n") + 1 for caption in captions), default=0)
        height = SIDE + lines * LINE + GAP
        canvas = torch.full((3, TITLE + -(-len(tiles) // COLUMNS) * height, GAP + COLUMNS * (SIDE + GAP)), 255, dtype=torch.uint8)
        for number, tile in enumerate(tiles):
            row, column = divmod(number, COLUMNS)
            down, right = TITLE + row * height, GAP + column * (SIDE + GAP)
            canvas[:, down : down + SIDE, right : right + SIDE] = tile
            if captions:
                texts.append((right + SIDE / 2, top + down + SIDE + 1, captions[number], {"ha": "center", "va": "top", "fontsize": 7}))
        rows.append(canvas)
        top += canvas.shape[1]
    pixels = torch.cat(rows, dim=1)
    height, width = pixels.shape[1:]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    # Without axes, which would resample the pixels.
    figure.figimage(pixels.permute(1, 2, 0).numpy())
    for x, y, text, style in texts:
        figure.text(x / width, 1 - y / height, text, **style)
    return picture(figure)


def resized(thumbnails: Tensor, side: int) -> Tensor:
    """Return pictures in a square, whole and with white margins.

    Args:
        thumbnails: uint8, shape (N, 3, H, W).
        side: Height and width in pixels.

    Returns:
        uint8, shape (N, 3, side, side).
    """
    height, width = thumbnails.shape[2:]
    scale = side / max(height, width)
    size = (max(round(height * scale), 1), max(round(width * scale), 1))
    # Without blurring what is enlarged.
    mode = "nearest" if scale >= 1 else "area"
    fitting = F.interpolate(thumbnails.float(), size=size, mode=mode).round().to(torch.uint8)
    down, across = side - size[0], side - size[1]
    return F.pad(fitting, (across // 2, across - across // 2, down // 2, down - down // 2), value=255)
