"""Names of classes: their order, their normal form, and names that differ only in their spelling."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping

from acclimate.config.messages import listed, setting


def in_order(names: Iterable[str]) -> list[str]:
    """Return each name once: whole numbers in numerical order, then the other names.

    >>> in_order(["10", "b", "2", "-1", "a", "2"])
    ['-1', '2', '10', 'a', 'b']
    """
    return sorted(set(names), key=_numerically)


def normalised(name: str) -> str:
    r"""Return a name in Unicode's composed form, because macOS stores accents separately; bytes that are not UTF-8 become escapes.

    >>> normalised("Ka\u0308fer"), normalised("K\udce4fer")
    ('Käfer', 'K\\xe4fer')
    """
    return unicodedata.normalize("NFC", os.fsencode(name).decode(errors="backslashreplace"))


def list_classes(names: Iterable[str]) -> str:
    """Return a list of classes for a message, in order, shortened if there are many."""
    return listed(in_order(names))


def renaming(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Find names that differ from known ones only in case, spaces, hyphens, underscores and a final s.

    >>> renaming(["Red", "sea-greens", "grey"], ["red", "sea green", "blue"])
    {'Red': 'red', 'sea-greens': 'sea green'}
    """
    plain = {_plain(name): name for name in sorted(known)}
    return {name: plain[_plain(name)] for name in sorted(set(names)) if _plain(name) in plain and plain[_plain(name)] != name}


def offer_renaming(names: Iterable[str], known: Iterable[str], already: Mapping[str, str] | None = None) -> str:
    """Return a sentence that says how to rename such names, or an empty string.

    Args:
        names: Unknown names.
        known: Known names.
        already: Names that are already renamed.
    """
    found = renaming(names, known)
    return f"If they are the same, type {setting('data.rename', {**(already or {}), **found})}. " if found else ""


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+|s$", "", unicodedata.normalize("NFKC", name).casefold())


def _numerically(name: str) -> tuple[bool, float, str]:
    is_number = name.lstrip("-").isdecimal()
    return (not is_number, float(name.lstrip("-")) * (-1) ** name.startswith("-") if is_number else 0.0, name)
