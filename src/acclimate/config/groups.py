"""Where the configs lie and which there are."""

import difflib
import importlib.util
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


def has_timm_model(name: str) -> bool:
    """Whether timm defines a model of this name; its source answers at once, where importing it takes seconds."""
    found = importlib.util.find_spec("timm")
    if found is None or not name.isidentifier():
        return False
    definition = f"\ndef {name}(".encode()
    return any(
        definition in file.read_bytes() for place in found.submodule_search_locations or [] for file in Path(place, "models").glob("*.py")
    )


def listed_keys(group: str) -> set[str]:
    """All keys that a config of a group sets."""
    # Not for --help, which needs none.
    import yaml

    contents = [yaml.safe_load(path.read_text()) or {} for path in (conf_dir() / group).glob("*.yaml")]
    return {str(key) for content in contents for key in content}
