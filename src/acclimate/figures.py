"""Conversion of matplotlib figures to pictures, and names as text in figures."""

import io
import logging
from functools import cache
from pathlib import Path

import numpy as np
import torch
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from PIL import Image
from torch import Tensor

from acclimate.files.atomic_files import replacing
from acclimate.files.printable import escape, printable

log = logging.getLogger(__name__)

# From the palette of Okabe and Ito, "Color Universal Design", 2008: blue and vermilion, which readers with any colour vision can tell
# apart.
DOMAIN_COLOURS = {"source": "#0072B2", "target": "#D55E00"}
# Fonts with a box for each character, and fonts of coloured bitmaps, which matplotlib does not draw.
UNUSABLE_FONTS = ("Last Resort", "LastResort", "Color")
HAIR_SPACE = "\u200a"
# Room for a title, between labels and names of axes, and beside a plot, in inches.
TITLE, GAP, MARGIN = 0.35, 0.25, 0.15


def picture(figure: Figure, *, plot_size: tuple[float, float] | None = None) -> Tensor:
    """Draw a figure as a picture, uint8, shape (3, H, W).

    Characters that the usual font lacks are taken from other installed fonts.

    Args:
        figure: The figure.
        plot_size: Width and height in inches of its only plot. The figure gets the size that this and the labels need, in a fraction
            of the time that matplotlib's layouts take. None: leave the size and the layout as they are.
    """
    canvas = FigureCanvasAgg(figure)
    for axes in figure.axes:
        # Labels of ticks get their text only when they are asked for.
        axes.get_xticklabels(), axes.get_yticklabels()
    texts = figure.findobj(Text)
    characters = {character for text in texts for character in text.get_text()}
    if families := sorted({family for character in characters if (family := _other_font(character))}):
        for text in texts:
            text.set_fontfamily([*text.get_fontfamily(), *families])
    if plot_size is not None:
        _surround(figure.axes[0], plot_size, canvas.get_renderer())  # type: ignore[no-untyped-call]
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.array(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return torch.from_numpy(pixels)[..., :3].permute(2, 0, 1).contiguous()


def _surround(axes: Axes, size: tuple[float, float], renderer: RendererAgg) -> None:
    """Give a plot a size in inches, and the figure the one that its labels need."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    across = max((label.get_window_extent(renderer).width for label in axes.get_yticklabels()), default=0.0) / figure.dpi
    up = max((label.get_window_extent(renderer).height for label in axes.get_xticklabels()), default=0.0) / figure.dpi
    left = across + axes.yaxis.label.get_window_extent(renderer).width / figure.dpi + GAP
    bottom = up + axes.xaxis.label.get_window_extent(renderer).height / figure.dpi + GAP
    width, height = left + size[0] + MARGIN, bottom + size[1] + TITLE
    figure.set_size_inches(width, height)
    axes.set_position((left / width, bottom / height, size[0] / width, size[1] / height))


def write_picture(path: Path, drawn: Tensor) -> bytes:
    """Write a picture, uint8, shape (3, H, W), as a PNG file, and return its contents.

    Raises:
        StorageError: If the file cannot be written.
    """
    contents = io.BytesIO()
    # Files are 5 % larger than at the usual level, and take two thirds of the time.
    Image.fromarray(drawn.permute(1, 2, 0).numpy()).save(contents, "PNG", compress_level=3)
    with replacing(path) as file:
        file.write(contents.getvalue())
    return contents.getvalue()


def drawable(name: str, *, length: int = 40) -> str:
    r"""Return a name as text for a figure, which shows it as it is.

    A dollar sign starts no formula, and a leading underscore does not hide the name from a legend. Characters that are not
    printable, or that no installed font has, become escapes. The middle of a long name is left out.

    Args:
        name: Any text, such as the name of a class or a file.
        length: Largest number of characters, at least 3.

    >>> drawable("caf\u00e9"), drawable("a\nb"), drawable("abcdefghijk", length=7), drawable("$10_$20")
    ('café', 'a\\nb', 'abc…ijk', '\\$10_\\$20')
    """
    text = printable(name)
    if missing := {character for character in text if ord(character) not in _usual_characters() and _other_font(character) is None}:
        _suggest_a_font()
        text = "".join(escape(character) if character in missing else character for character in text)
    if len(text) > length:
        end = (length - 1) // 2
        text = f"{text[: length - 1 - end]}…{text[len(text) - end :]}"
    # matplotlib draws an escaped dollar sign as one, and leaves labels that begin with an underscore out of legends.
    return (HAIR_SPACE if text.startswith("_") else "") + text.replace("$", r"\$")


@cache
def _suggest_a_font() -> None:
    log.info("No installed font has all characters of the names, so pictures show escapes of some. Install one, such as Noto Sans CJK.")


def _other_font(character: str) -> str | None:
    """Return the family of an installed font for a character that the usual font lacks, if there is one."""
    return None if ord(character) in _usual_characters() else _other_fonts().get(ord(character))


@cache
def _usual_characters() -> frozenset[int]:
    return frozenset(FT2Font(font_manager.findfont(font_manager.FontProperties())).get_charmap())


@cache
def _other_fonts() -> dict[int, str]:
    """Return the family of a font for each character; fonts without serifs win over others."""
    found: dict[int, str] = {}
    regular = {entry.name: entry.fname for entry in font_manager.fontManager.ttflist if entry.weight == 400 and entry.style == "normal"}
    for family in sorted(regular, key=lambda name: ("Sans" not in name, name)):
        if any(word in family for word in UNUSABLE_FONTS):
            continue
        try:
            characters = FT2Font(regular[family]).get_charmap()
        except (OSError, RuntimeError, ValueError):
            # The font is gone, or of a format that matplotlib does not read.
            continue
        for character in characters:
            found.setdefault(character, family)
    return found
