"""Where the configs lie and which there are."""

import difflib
from collections.abc import Sequence
from pathlib import Path


def conf_dir() -> Path:
    """The folder of configs: in the installed package, or beside `src` in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def group_options(group: str) -> list[str]:
    """Names of the configs of a group."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def did_you_mean(word: str, words: Sequence[str]) -> str:
    """A question that names the most similar word, or nothing.

    >>> did_you_mean("batch_nrom", ["batch_norm", "terms"])
    ' Did you mean batch_norm?'
    """
    similar = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f" Did you mean {similar[0]}?" if similar else ""
