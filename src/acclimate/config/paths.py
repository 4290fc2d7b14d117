"""Paths in configurations, which records keep so that they mean the same files from every folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Files and folders of the data, and all that a run reads.
DATA_PATHS = ("data.source", "data.target")
PATHS = (*DATA_PATHS, "data.parts", "init_from")
# Names of columns and regular expressions, with any signs in them.
NAMES = ("data.path", "data.label", "data.split", "data.group")
FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
# Keys whose values are always text.
TEXTS = (*FOLDERS, *PATHS, *NAMES)
# Keys of verbs themselves, which are not read by Hydra.
OF_VERBS = ("run", "inputs", "out", "resume")
# The name of published weights, or a file.
NAMES_OR_PATHS = ("model.weights",)
# Names of classes and columns in lists and mappings.
LISTS_OF_NAMES = ("data.classes", "data.rename", "data.columns")
# Keys in whose values ${ is text.
WITHOUT_INTERPOLATIONS = (*PATHS, *NAMES, *NAMES_OR_PATHS, *LISTS_OF_NAMES)


def with_absolute_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration in which relative paths of files and folders that exist are absolute; links are kept.

    Args:
        config: The plain, resolved configuration.
    """
    changed = dict(config)
    for key in (*PATHS, *NAMES_OR_PATHS):
        *groups, name = key.split(".")
        node = changed
        for group in groups:
            if not isinstance(node.get(group), Mapping):
                break
            node[group] = dict(node[group])
            node = node[group]
        else:
            if name in node:
                node[name] = _absolute(node[name])
    return changed


def _absolute(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return list(map(_absolute, value))
    # Other texts are names that a data set of the user's own understands.
    return str(Path(value).absolute()) if isinstance(value, str) and value and os.path.lexists(value) else value


def exist(value: Any) -> bool:
    """Return True if all files and folders of a value exist: a path, or a list of paths."""
    return all(map(exist, value)) if isinstance(value, list | tuple) else value is None or os.path.lexists(str(value))
