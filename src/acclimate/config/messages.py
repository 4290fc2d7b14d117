"""What the messages about a configuration are made of: values as one types them, and what was probably meant."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from acclimate.config.instantiate import RESERVED_KEYS


def show(value: Any) -> str:
    """A value as one would type it."""
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


def most_similar(word: str, words: Sequence[str]) -> str | None:
    """The most similar word, whatever the case and the hyphens; the first of several that are equally similar; None if none is.

    A word and its initials are similar.

    >>> most_similar("epochs", ["max_epochs", "min_epochs"]), most_similar("DANN-MCC", ["dann", "dann_mcc"])
    ('max_epochs', 'dann_mcc')
    >>> most_similar("learning_rate", ["lr", "eps"]), most_similar("bs", ["batch_norm", "batch_size"])
    ('lr', 'batch_size')
    """
    wanted = _plain(word)
    similarity = {candidate: _similarity(_plain(candidate), wanted) for candidate in words}
    best = max(similarity, key=lambda candidate: similarity[candidate], default=None)
    return best if best is not None and similarity[best] >= 0.6 else None


def _similarity(first: str, second: str) -> float:
    initials = [(one, "".join(part[:1] for part in other.split("_"))) for one, other in ((first, second), (second, first)) if "_" in other]
    return 0.9 if any(one == other for one, other in initials) else difflib.SequenceMatcher(None, first, second).ratio()


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def did_you_mean(word: str, words: Sequence[str]) -> str:
    """A question that names the most similar word, or nothing.

    >>> did_you_mean("batch_nrom", ["batch_norm", "terms"])
    ' Did you mean batch_norm?'
    """
    similar = most_similar(word, words)
    return f" Did you mean {similar}?" if similar else ""


def elsewhere(path: str, value: Any, config: Mapping[str, Any], *, similar: bool = True) -> str:
    """A question that names the key of a part that was probably meant, with the value: lr=0.1 is optimizer.lr=0.1.

    Args:
        path: A key without its part, or of another one.
        value: Its value; a number is not meant for a key that holds text.
        config: Whose keys there are.
        similar: Whether a similar name does, too.
    """
    others = ((other, found) for other, found in _leaves(config) if other != path)
    leaves = ((other, found) for other, found in others if found is None or isinstance(found, str) == isinstance(value, str))
    keys = {other: other.rpartition(".")[2] for other, _ in leaves}
    name = path.rpartition(".")[2]
    wanted = most_similar(name, list(keys.values())) if similar else name
    return next((f" Did you mean {other}={show(value)}?" for other, key in keys.items() if key == wanted), "")


def _leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The keys of a part as one types them, without those at the top."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        elif path and key not in RESERVED_KEYS:
            yield f"{path}{key}", value
