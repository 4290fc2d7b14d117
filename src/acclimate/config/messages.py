"""Parts of messages about a configuration: values as typed, and suggestions."""

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from acclimate.config.instantiate import RESERVED_KEYS
from acclimate.config.paths import OF_VERBS, TEXTS

# Text that Hydra reads as it is, also as a key of a mapping. Words such as null and numbers are not.
PLAIN_TEXT = re.compile(r"(?!(?:null|true|false|inf|nan)$)[A-Za-z_][A-Za-z0-9_.-]*", re.IGNORECASE)
# An item of a list: in quotes, within which a backslash counts only in front of a quote; or as it is up to the next comma.
ITEM = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^,]*?))\s*(?:,|$)""")

MAX_LISTED = 12


def show(value: Any) -> str:
    """Return a value as typed on the command line."""
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


def setting(key: str, value: object) -> str:
    """Return a setting as typed in a shell, which every verb understands.

    Hydra reads only mappings whose keys are plain; others become lists of pairs.

    >>> print(setting("data.source", "my photos"), setting("data.rename", {"Red": "red"}), setting("data.classes", ["cat", "1e3"]))
    'data.source=my photos' 'data.rename={Red:red}' 'data.classes=[cat,"1e3"]'
    >>> print(setting("data.rename", {"sea green": "sea-green", "2": "two"}), setting("name", "photos (1)"))
    'data.rename=[["sea green",sea-green],["2",two]]' 'name="photos (1)"'
    """
    return shlex.quote(f"{key}={value if key in (*TEXTS, *OF_VERBS) and isinstance(value, str) else _typed(value)}")


def texts_in(text: str) -> list[str]:
    """Return the items of a list as typed, with or without its brackets.

    >>> texts_in('[a, "b, c", d e]'), texts_in("a"), texts_in("")
    (['a', 'b, c', 'd e'], ['a'], [])
    """
    inside = text.strip()
    inside = inside[1:-1] if inside.startswith("[") and inside.endswith("]") else inside
    items = list[str]()
    for double, single, plain in (found.groups() for found in ITEM.finditer(inside)):
        quoted, quote = (double, '"') if double is not None else (single, "'")
        items.append(plain if plain is not None else re.sub(rf"(\\+)({quote}|$)", _halved, quoted))
    return [item for item in items if item]


def without_interpolations(text: str) -> str:
    r"""Put a backslash in front of each `${`, which OmegaConf then reads as text.

    >>> print(without_interpolations("${x}"), without_interpolations("a"), without_interpolations(r"\${x}"))
    \${x} a \${x}
    """
    return re.sub(r"(?<!\\)\$\{", r"\\${", text)


def unquoted(text: str) -> str:
    """Return text without the quotes around it, as Hydra reads it.

    >>> unquoted('"my photos"'), unquoted("o'brien")
    ('my photos', "o'brien")
    """
    return text[1:-1] if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0] else text


def _halved(found: re.Match[str]) -> str:
    return found[1][: len(found[1]) // 2] + found[2]


def _typed(value: object) -> str:
    if isinstance(value, Mapping):
        if all(PLAIN_TEXT.fullmatch(str(name)) for name in value):
            return "{" + ",".join(f"{name}:{_typed(item)}" for name, item in value.items()) + "}"
        value = [list(pair) for pair in value.items()]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_typed, value))}]"
    return _quoted(value) if isinstance(value, str) else show(value)


def _quoted(text: str) -> str:
    if PLAIN_TEXT.fullmatch(text):
        return text
    quote = '"' if '"' not in text else "'"
    # As in Hydra, a backslash counts only in front of a quote, where it must be doubled.
    escaped = re.sub(r"(\\*)" + quote, lambda found: 2 * found[1] + "\\" + quote, without_interpolations(text))
    ending = re.search(r"\\*$", escaped)
    return quote + escaped + (ending[0] if ending else "") + quote


def most_similar(word: str, words: Sequence[str], *, at_least: float = 0.6) -> str | None:
    """Return the most similar word, ignoring case and hyphens; the first one of several; None if no word is similar.

    A word and its initials are similar. `at_least` is the least similarity, in [0, 1].

    >>> most_similar("epochs", ["max_epochs", "min_epochs"]), most_similar("DANN-MCC", ["dann", "dann_mcc"])
    ('max_epochs', 'dann_mcc')
    >>> most_similar("learning_rate", ["lr", "eps"]), most_similar("bs", ["batch_norm", "batch_size"])
    ('lr', 'batch_size')
    """
    wanted = _plain(word)
    similarity = {candidate: _similarity(_plain(candidate), wanted) for candidate in words}
    best = max(similarity, key=lambda candidate: similarity[candidate], default=None)
    return best if best is not None and similarity[best] >= at_least else None


def _similarity(first: str, second: str) -> float:
    initials = [(one, "".join(part[:1] for part in other.split("_"))) for one, other in ((first, second), (second, first)) if "_" in other]
    return 0.9 if any(one == other for one, other in initials) else difflib.SequenceMatcher(None, first, second).ratio()


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first ones and the number of the others if they are many.

    >>> listed(["a", "b"]), listed("abcdefghijklmno"), listed([])
    ('a, b', 'a, b, c, d, e, f, g, h, i, j, k, l and 3 more', 'none')
    """
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more or "none"


def did_you_mean(word: str, words: Sequence[str]) -> str:
    """Return a question that suggests the most similar word, or an empty string.

    >>> did_you_mean("batch_nrom", ["batch_norm", "terms"])
    ' Did you mean batch_norm?'
    """
    similar = most_similar(word, words)
    return f" Did you mean {similar}?" if similar else ""


def elsewhere(path: str, value: Any, config: Mapping[str, Any], *, similar: bool = True) -> str:
    """Return a question that suggests the full key of a value, such as optimizer.lr=0.1 for lr=0.1, or an empty string.

    Args:
        path: A key without its group, or with another one.
        value: The value; numbers are not suggested for keys with text.
        config: The configuration with the known keys.
        similar: Whether to suggest similar names as well.
    """
    others = ((other, found) for other, found in _leaves(config) if other != path)
    leaves = ((other, found) for other, found in others if found is None or isinstance(found, str) == isinstance(value, str))
    keys = {other: other.rpartition(".")[2] for other, _ in leaves}
    name = path.rpartition(".")[2]
    wanted = most_similar(name, list(keys.values())) if similar else name
    return next((f" Did you mean {other}={_typed(value)}?" for other, key in keys.items() if key == wanted), "")


def _leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of a node as typed, without those at the top."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        elif path and key not in RESERVED_KEYS:
            yield f"{path}{key}", value
