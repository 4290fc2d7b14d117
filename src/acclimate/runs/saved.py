"""Saved configurations of runs, read as plain data, because a run's folder may come from somebody else."""

import copy
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from acclimate.config.messages import setting
from acclimate.config.untrusted import refuse_strangers
from acclimate.errors import ConfigError
from acclimate.runs.checkpoint_files import best_checkpoint, last_checkpoint
from acclimate.runs.nearby import suggest_run
from acclimate.runs.record import METRICS, RECORD, read_record

OVERRIDES = Path(".hydra", "overrides.yaml")
# Applies a user's changes to a saved configuration.
Override = Callable[[dict[str, Any]], dict[str, Any]]
# Keys of the folders that callbacks, loggers and the trainer write to.
FOLDERS = ("dirpath", "default_root_dir", "save_dir", "folder")
# In the place of folders outside of the run.
OUTSIDE = "\0"


def read_config(folder: Path, trust: Collection[str] = ()) -> dict[str, Any]:
    """Read the resolved configuration that a run was started with.

    Args:
        folder: The folder of the run.
        trust: As for `refuse_strangers`.

    Raises:
        ConfigError: If the folder is not that of a run, or the configuration contains targets that are not trusted.
        DataError: If the record cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder}. Type resume=outputs/DATE/TIME-METHOD.{suggest_run(folder)}")
    if (folder / RECORD).is_file():
        return refuse_strangers(read_record(folder).config, folder / RECORD, trust)
    # Runs of earlier versions have their resolved configuration only in their checkpoints.
    for path in (last_checkpoint(folder), best_checkpoint(folder)):
        if path.is_file():
            # Imported here, so that a mistake is reported without waiting for torch.
            from acclimate.runs.checkpoints import read_checkpoint, trusted_config

            return trusted_config(read_checkpoint(path), trust)
    if (folder / ".hydra").is_dir():
        raise ConfigError(
            f"The run in {folder} was stopped before its first step was recorded, so there is nothing to continue. "
            f"Type its command again, with {setting('hydra.run.dir', str(folder))}."
        )
    raise ConfigError(
        f"{folder} is not the folder of a run: it has no {RECORD}. Type resume=outputs/DATE/TIME-METHOD.{suggest_run(folder)}"
    )


def config_to_resume(folder: Path, trust: Collection[str], override: Override) -> dict[str, Any]:
    """Return the configuration that continues a run: the saved one with the user's changes.

    Args:
        folder: The folder of the run.
        trust: As for `refuse_strangers`.
        override: Function that applies the changes.

    Raises:
        ConfigError: If the folder is not that of a run, or the run would write outside of it.
    """
    return {**placed(read_config(folder, trust), folder, override), "resume": True, "trust": list(trust)}


def placed(saved: Mapping[str, Any], folder: Path, override: Override) -> dict[str, Any]:
    """Return a saved configuration that writes only to the current folder of the run, which may have been moved.

    Args:
        saved: A configuration from `refuse_strangers`.
        folder: The folder of the run.
        override: Function that applies the user's changes, which may name other folders.

    Raises:
        ConfigError: If the run would write outside of its folder, by its settings or through a link.
    """
    refuse_links(folder)
    # Links are not resolved, so that the folder keeps the name that the user typed.
    here = Path.cwd() / folder
    moved, outside = copy.deepcopy(dict(saved)), dict[str, str]()
    for group in ("callbacks", "logger", "trainer"):
        outside |= _move(moved.get(group), group, there=_normal(saved.get("folder") or here), here=here)
    changed = override({**moved, "folder": str(here)})
    left = [setting(key, value) for key, value in outside.items() if _at(changed, key) == OUTSIDE]
    if left:
        raise ConfigError(f"{folder} would write outside of its folder. If you want that, type it again: {' '.join(left)}")
    return {**changed, "folder": str(here)}


def _move(node: Any, path: str, *, there: Path, here: Path) -> dict[str, str]:
    """Move folders below `there` to the same place below `here`, in place, and take out all other folders, which are returned by key."""
    outside: dict[str, str] = {}
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        where = f"{path}.{key}"
        if key in FOLDERS and isinstance(value, str):
            place = _normal(value)
            if place.is_relative_to(there):
                node[key] = str(here / place.relative_to(there))
            else:
                # Whatever the user types takes its place, also the same folder.
                outside[where], node[key] = value, OUTSIDE
        else:
            outside |= _move(value, where, there=there, here=here)
    return outside


def _normal(path: str | Path) -> Path:
    """Return a path as an absolute one; two that were relative to one folder stay so, wherever it is."""
    return Path(os.path.normpath(Path.cwd() / path))


def _at(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for name in key.split("."):
        if isinstance(node, list):
            node = node[int(name)] if name.isdecimal() and int(name) < len(node) else None
        else:
            node = node.get(name) if isinstance(node, Mapping) else None
    return node


def refuse_links(folder: Path) -> None:
    """Refuse links in a run's folder, because the run would write to their destination.

    Raises:
        ConfigError: If there is a link.
    """
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(here) / name
            # The metrics of a finished run are not written.
            if path.is_symlink() and not (path == folder / METRICS and path.exists()):
                raise ConfigError(f"{path} is a link to {path.readlink()}, and continuing the run would write there. Replace it by a copy.")


def read_overrides(folder: Path) -> list[str]:
    """Read the overrides typed to start and continue a run, for reports only; empty for a run started in Python."""
    file = folder / OVERRIDES
    try:
        return [str(text) for text in yaml.safe_load(file.read_text())] if file.is_file() else []
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} is not a list of overrides. Remove it, or start the run again: hydra.run.dir=DIR.") from error


def write_overrides(folder: Path, overrides: Sequence[str]) -> None:
    """Write the overrides typed to start and continue a run."""
    from acclimate.files.atomic_files import replacing

    with replacing(folder / OVERRIDES) as file:
        file.write(yaml.safe_dump(list(overrides)).encode())
