"""What a run's folder says of the run, as plain data: a folder, too, may come from somebody else."""

import copy
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from acclimate.config.untrusted import refuse_strangers
from acclimate.errors import ConfigError
from acclimate.runs.checkpoint_files import best_checkpoint, last_checkpoint
from acclimate.runs.record import RECORD, read_record

OVERRIDES = Path(".hydra", "overrides.yaml")
# Makes a user's changes to a saved configuration.
Override = Callable[[dict[str, Any]], dict[str, Any]]
# Keys of folders that callbacks, loggers and the trainer write to.
FOLDERS = ("dirpath", "default_root_dir", "save_dir", "folder")


def read_config(folder: Path, trust: Collection[str] = ()) -> dict[str, Any]:
    """The resolved configuration that a run was started with.

    Args:
        folder: Of the run.
        trust: As for `refuse_strangers`.

    Raises:
        ConfigError: If the folder is not that of a run, or the configuration names what is not to be built.
        DataError: If the record cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder}. Type resume=outputs/DATE/TIME-METHOD.")
    if (folder / RECORD).is_file():
        return refuse_strangers(read_record(folder).config, folder / RECORD, trust)
    # Runs of earlier versions have no other resolved one than that in their checkpoints.
    for path in (last_checkpoint(folder), best_checkpoint(folder)):
        if path.is_file():
            # Here, as a wrong word is to be answered without waiting for torch.
            from acclimate.runs.checkpoints import read_checkpoint, trusted_config

            return trusted_config(read_checkpoint(path), trust)
    if (folder / ".hydra").is_dir():
        raise ConfigError(
            f"The run in {folder} was stopped before its first step was recorded, so there is nothing to continue. "
            f"Type its command again, with hydra.run.dir={folder}."
        )
    raise ConfigError(f"{folder} is not the folder of a run: it has no {RECORD}. Type resume=outputs/DATE/TIME-METHOD.")


def config_to_resume(folder: Path, trust: Collection[str], override: Override) -> dict[str, Any]:
    """The configuration that continues a run: what it was started with, and the user's changes.

    Args:
        folder: Of the run.
        trust: As for `refuse_strangers`.
        override: Makes the changes.

    Raises:
        ConfigError: If the folder is not that of a run, or the run would write to a place outside of it.
    """
    return {**placed(read_config(folder, trust), folder, override), "resume": True, "trust": list(trust)}


def placed(saved: Mapping[str, Any], folder: Path, override: Override) -> dict[str, Any]:
    """A saved configuration that writes to the folder where the run is now, which may have been moved, and nowhere else.

    Args:
        saved: As `refuse_strangers` gives it.
        folder: Of the run.
        override: Makes the user's changes, which may name other places.

    Raises:
        ConfigError: If the run would write to a place outside of its folder, by its settings or through a link.
    """
    refuse_links(folder)
    # Not resolved: the folder keeps the name that the user gives it.
    here = Path.cwd() / folder
    moved, outside = copy.deepcopy(dict(saved)), dict[str, str]()
    for group in ("callbacks", "logger", "trainer"):
        outside |= _move(moved.get(group), group, there=Path(str(saved.get("folder") or here)), here=here)
    changed = override({**moved, "folder": str(here)})
    left = [f"{key}={value}" for key, value in outside.items() if _at(changed, key) == value]
    if left:
        raise ConfigError(f"{folder} would write outside of its folder. If that is what you want, type it again: {' '.join(left)}")
    return {**changed, "folder": str(here)}


def _move(node: Any, path: str, *, there: Path, here: Path) -> dict[str, str]:
    """Renames folders below `there`, in place, as they are called below `here`; returns all others by their keys."""
    outside: dict[str, str] = {}
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        where = f"{path}.{key}"
        if key in FOLDERS and isinstance(value, str):
            place = Path(os.path.normpath(Path.cwd() / value))
            if place.is_relative_to(there):
                node[key] = str(here / place.relative_to(there))
            else:
                outside[where] = value
        else:
            outside |= _move(value, where, there=there, here=here)
    return outside


def _at(config: Mapping[str, Any], key: str) -> Any:
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def refuse_links(folder: Path) -> None:
    """A link in a run's folder would have the run write where it leads to.

    Raises:
        ConfigError: If there is one.
    """
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(here) / name
            # Nothing is written to the metrics of a finished run.
            if path.is_symlink() and not (path == folder / "metrics.json" and path.exists()):
                raise ConfigError(
                    f"{path} is a link to {path.readlink()}, and continuing the run would write there. Put a copy into its place."
                )


def read_overrides(folder: Path) -> list[str]:
    """What was typed to start and continue a run, which reports name and nothing replays; empty for a run started in Python."""
    file = folder / OVERRIDES
    try:
        return [str(text) for text in yaml.safe_load(file.read_text())] if file.is_file() else []
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} is not a list of what was typed. Remove it, or start the run anew: hydra.run.dir=DIR.") from error


def write_overrides(folder: Path, overrides: Sequence[str]) -> None:
    """Writes down what was typed to start and continue a run."""
    from acclimate.files.atomic_files import replacing

    with replacing(folder / OVERRIDES) as file:
        file.write(yaml.safe_dump(list(overrides)).encode())
