"""Conversion of matplotlib figures to pictures, and names as text in figures."""

import io
import logging
from functools import cache
from pathlib import Path

import numpy as np
import torch
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from PIL import Image
from torch import Tensor

from acclimate.files.atomic_files import replacing
from acclimate.files.printable import escape, printable

log = logging.getLogger(__name__)

# Fonts with a box for each character, and fonts of coloured bitmaps, which matplotlib does not draw.
UNUSABLE_FONTS = ("Last Resort", "LastResort", "Color")
HAIR_SPACE = "\u200a"


def picture(figure: Figure) -> Tensor:
    """Draw a figure as a picture, uint8, shape (3, H, W).

    Characters that the usual font lacks are taken from other installed fonts.
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
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.array(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return torch.from_numpy(pixels)[..., :3].permute(2, 0, 1).contiguous()


def write_picture(path: Path, drawn: Tensor) -> None:
    """Write a picture, uint8, shape (3, H, W), as a PNG file.

    Raises:
        StorageError: If the file cannot be written.
    """
    with replacing(path) as file:
        file.write(as_png(drawn))


def as_png(drawn: Tensor) -> bytes:
    """Return a picture, uint8, shape (3, H, W), as the contents of a PNG file."""
    contents = io.BytesIO()
    Image.fromarray(drawn.permute(1, 2, 0).numpy()).save(contents, "PNG")
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
