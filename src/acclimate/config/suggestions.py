"""Suggestions for what was typed, from the names, the keys and the first lines of all configs."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acclimate.config.groups import conf_dir, config_groups, group_options, listed_keys, option_keys
from acclimate.config.messages import elsewhere, most_similar, setting

# Names that mean different things in different groups.
AMBIGUOUS = ("auto", "default", "last", "none")
# Endings of tables, in any case of letters.
TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
# Endings of files, and configs of `data` that read them.
READERS = {(".npz",): ("arrays", "vectors"), TABLES: ("table", "vectors")}


def options_like(group: str, name: str) -> list[str]:
    """Return the options of a group that a name can be meant for.

    They are one that is spelt almost alike, or those that have it in a part of their name, or in the first lines of their configs, or
    else a similar one.

    >>> options_like("data", "image_folders"), options_like("data", "images"), options_like("data", "csv")
    (['image_folder'], ['image_folder'], ['table', 'vectors'])
    >>> options_like("method", "mmd"), options_like("method", "coral"), options_like("method", "domain_adversarial")
    (['dan', 'jan'], ['deep_coral'], ['dann'])
    """
    options = group_options(group)
    if typo := most_similar(name, options, at_least=0.8):
        return [typo]
    if parts := [option for option in options if "_" in option and most_similar(name, option.split("_"), at_least=0.8)]:
        return parts
    words = r"[ _-]".join(map(re.escape, re.split(r"[ _-]", name.rstrip("s"))))
    phrase = re.compile(rf"(?<!self-)\b{words}s?\b", re.IGNORECASE)
    if meant := [option for option in options if len(name) > 1 and phrase.search(_first_lines(group, option))]:
        return meant
    similar = most_similar(name, options, at_least=0.7)
    return [similar] if similar else []


def readers_of(place: str | os.PathLike[str]) -> list[str]:
    """Return the configs of `data` that read such a folder or file; none if it does not exist."""
    path = Path(place)
    if path.is_dir():
        return ["image_folder"]
    found = (readers for endings, readers in READERS.items() if path.is_file() and path.name.lower().endswith(endings))
    return list(next(found, ()))


def suggest_readers(place: str | os.PathLike[str]) -> str:
    """Return a sentence about configs of `data` that read such a folder or file, or an empty string.

    >>> suggest_readers(".")
    ' data=image_folder reads folders of images.'
    """
    reads = {"image_folder": "folders of images", "table": "tables of images", "vectors": "rows of numbers", "arrays": "arrays of images"}
    found = " and ".join(f"data={name} reads {reads[name]}" for name in readers_of(place))
    return found and f" {found}."


def suggest_option(group: str, key: str, value: Any, beside: Mapping[str, Any] | None = None) -> str:
    """Return a sentence that suggests options of a group that have a key, or an empty string.

    Args:
        group: The group.
        key: The key without its group.
        value: Its value.
        beside: The other keys of the group, for the same suggestion if several are unknown.

    >>> suggest_option("method", "max_reversal", 1)
    ' method=bsp, cdan, dann, mdd have this key: type method=bsp method.max_reversal=1.'
    """
    options = [option for option in group_options(group) if key in option_keys(group, option)]
    if not options:
        return ""
    # For source and target of data, those that can read them.
    places = [value, *((beside or {}).get(name) for name in ("source", "target"))] if group == "data" else []
    readers = (reader for place in places if isinstance(place, str) and place for reader in readers_of(place))
    best = next((reader for reader in readers if reader in options), options[0])
    have = "has" if len(options) == 1 else "have"
    return f" {group}={', '.join(options)} {have} this key: type {group}={best} {setting(f'{group}.{key}', value)}."


def suggest_for_unknown(key: str, value: Any, config: Mapping[str, Any]) -> str:
    """Return a sentence about what a key that is none of the configuration can be meant for, or an empty string.

    It is a key of a component, a key of another option of a group, such as data.source, or the name of an option, such as gpu=1 or
    device=gpu; or else it is similar to the key of a component.
    """
    if exact := elsewhere(key, value, config, similar=False):
        return exact
    for group in _groups():
        if key in listed_keys(group):
            return suggest_option(group, key, value)
    for name in (key, value):
        if option := option_called(name):
            return f" Did you mean {option}?"
    return elsewhere(key, value, config)


def option_called(name: Any) -> str:
    """Return the choice of an option with this name, such as trainer=cpu; an empty string if there is none."""
    groups = (group for group in _groups() if name in group_options(group) and name not in AMBIGUOUS)
    return next((f"{group}={name}" for group in groups), "")


def _groups() -> list[str]:
    return sorted(config_groups() - {"experiment", "terms"})


def _first_lines(group: str, option: str) -> str:
    lines = (conf_dir() / group / f"{option}.yaml").read_text().splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return " ".join(lines[:end])
