"""Folders and files of the sources or the targets of a run, each with a name."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from acclimate.config.suggestions import TABLES
from acclimate.data.class_names import normalised
from acclimate.errors import ConfigError

# A folder or file, or several.
Places = str | Sequence[str]

FILE_ENDINGS = (*TABLES, ".npz")


class Place(NamedTuple):
    """A folder or a file with samples.

    Attributes:
        name: Name in metrics and tables.
        path: Path as typed.
    """

    name: str
    path: Path


def find_places(named: Places | None, key: str) -> list[Place]:
    """Return the places that a key lists; an empty list for null.

    The name of a place is the last part of its path, without the ending of a table or an archive. Names that would be equal keep the
    ending, and begin with as many more parts of the path as are needed to distinguish them, joined by hyphens.

    Args:
        named: The value of the key.
        key: The key, for messages.

    Raises:
        ConfigError: If the list is empty, or names a place twice.

    >>> [place.name for place in find_places(["rome/cam1", "oslo/cam1", "oslo/cam2.npz"], "data.target")]
    ['rome-cam1', 'oslo-cam1', 'cam2']
    """
    if named is None:
        return []
    paths = [Path(path) for path in ([named] if isinstance(named, str) else named)]
    if not paths:
        raise ConfigError(f"{key}=[] names nothing. Name one place or several: {key}=[PLACE,PLACE].")
    real = Counter(path.resolve() for path in paths)
    if doubled := [path for path in paths if real[path.resolve()] > 1]:
        raise ConfigError(f"{key} names {doubled[0].resolve()} twice. Name each place once.")
    return [Place(name, path) for name, path in zip(_names(paths), paths, strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    parts = [[normalised(part) for part in Path(os.path.normpath(Path.cwd() / path)).parts] for path in paths]
    stems = [_stem(one[-1]) for one in parts]
    for one, stem in zip(parts, stems, strict=True):
        one[-1] = stem if stems.count(stem) == 1 else one[-1]
    length = [1] * len(paths)
    while True:
        names = ["-".join(one[-size:]) for one, size in zip(parts, length, strict=True)]
        shared = [place for place, name in enumerate(names) if names.count(name) > 1 and length[place] < len(parts[place])]
        if not shared:
            # Even whole paths, such as a/b and a-b, may look the same.
            return [name if names.count(name) == 1 else f"{name}-{place + 1}" for place, name in enumerate(names)]
        for place in shared:
            length[place] += 1


def _stem(name: str) -> str:
    """Return the name of a file without its ending."""
    return next((name.removesuffix(ending) for ending in FILE_ENDINGS if name.endswith(ending)), name) or name
