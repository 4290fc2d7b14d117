"""Names in figures, which show them as they are."""

import warnings

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import font_manager
from matplotlib.figure import Figure

from acclimate import figures
from acclimate.figures import drawable, picture

NAMES = [
    "$10_$20",
    "$x^",
    r"a\$b",
    "猫と犬",
    "سحاب",
    "קבוצה",
    "😀",
    "\U0001f468\u200d\U0001f469",
    "o'brien",
    "cam #2",
    "a\nb\x1b[31m",
    "K\udce4fer",
    "<script>alert(1)</script>",
    "%s {0}",
    "x" * 250,
    "",
    "_background_",
]


def drawn(*names):
    figure = Figure(figsize=(4, 3))
    for place, name in enumerate(names):
        figure.text(0.05, 0.9 - 0.9 * place / len(names), name)
    return picture(figure)


def drawn_as_ticks(*names):
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.add_subplot(title=names[0])
    axes.set_yticks(range(len(names)), names)
    axes.bar([0], [1], label=names[-1])
    axes.legend()
    return picture(figure)


@pytest.mark.parametrize("draw", [drawn, drawn_as_ticks])
def test_all_names_are_drawn_without_warnings(draw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(*map(drawable, NAMES)).shape == (3, 300, 400)


@pytest.mark.parametrize("name", ["$10_$20", "$x^", r"a\$b", r"\$", "$$", r"\frac $1$ _2_"])
def test_a_formula_is_drawn_as_it_is(name):
    with matplotlib.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(4, 3))
        figure.text(0.05, 0.9, name)
        plain = picture(figure)
    assert torch.equal(drawn(drawable(name)), plain)


def test_a_name_that_starts_with_an_underscore_is_in_the_legend():
    figure = Figure()
    axes = figure.add_subplot()
    axes.bar([0], [1], label=drawable("_background_"))
    assert len(axes.get_legend_handles_labels()[1]) == 1


def test_characters_that_no_font_has_become_escapes(monkeypatch, caplog):
    monkeypatch.setattr(figures, "_other_fonts", dict)
    figures._suggest_a_font.cache_clear()
    caplog.set_level("INFO")
    assert drawable("a猫b猫") == r"a\u732bb\u732b"
    assert drawable("犬") == r"\u72ac"
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["No installed font has all characters of the names"]


def test_characters_that_another_font_has_are_drawn_with_it(monkeypatch):
    """The usual font stands for one without Latin letters, as usual fonts are without Chinese ones."""
    usual = figures._usual_characters()
    monkeypatch.setattr(figures, "_usual_characters", lambda: usual - {ord("g")})
    assert drawable("gag") == "gag"
    assert figures._other_font("g") in {entry.name for entry in font_manager.fontManager.ttflist}
    assert figures._other_font("a") is None
    families = []
    monkeypatch.setattr(figures.Text, "set_fontfamily", lambda text, names: families.append(names))
    drawn("gag")
    assert families[0][-1] == figures._other_font("g")


def test_a_long_name_keeps_both_ends():
    name = drawable("left" + "x" * 300 + "right")
    assert len(name) == 40
    assert (name[:4], name[-5:]) == ("left", "right")
    assert len(drawable("\x07" * 300)) == 40


def test_pictures_are_those_of_matplotlib():
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, "plain")
    pixels = picture(figure)
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (3, 100, 200))
    assert np.unique(pixels.numpy()).size > 2
