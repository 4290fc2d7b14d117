"""Names of classes that differ only in how they are written."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from acclimate.config.messages import setting


def renaming(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Find names that differ from known ones only in case, spaces, hyphens and underscores.

    >>> renaming(["Red", "sea-green", "grey"], ["red", "sea green", "blue"])
    {'Red': 'red', 'sea-green': 'sea green'}
    """
    plain = {_plain(name): name for name in sorted(known)}
    return {name: plain[_plain(name)] for name in sorted(set(names)) if _plain(name) in plain and plain[_plain(name)] != name}


def offer_renaming(names: Iterable[str], known: Iterable[str], already: Mapping[str, str] | None = None) -> str:
    """Return a sentence that says how to rename such names, or an empty string.

    Args:
        names: Those that are not known.
        known: Those that they may stand for.
        already: What is renamed so far.
    """
    found = renaming(names, known)
    return f"If they are the same, type {setting('data.rename', {**(already or {}), **found})}. " if found else ""


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())
