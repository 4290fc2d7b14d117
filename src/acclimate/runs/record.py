"""The records of a run: `run.json` at its start and `metrics.json` at its end."""

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from acclimate.config.identity import digest, identity
from acclimate.config.paths import with_absolute_paths
from acclimate.errors import DataError, first_line
from acclimate.files.atomic_files import write_json

RECORD = "run.json"
METRICS = "metrics.json"
TEST_PREDICTIONS = "test_predictions.csv"
# Name of the verdict among the texts in event files.
ANSWERS = "answers"


class RunRecord(NamedTuple):
    """The record of a run's start.

    Attributes:
        name: The name in reports: that of the method's config, unless the user chose another one.
        config: The resolved configuration.
        overrides: The overrides as typed; empty for a run that was started in Python.
    """

    name: str
    config: dict[str, Any]
    overrides: list[str]


def write_record(folder: Path, config: Mapping[str, Any], changes: Mapping[str, Any] | None = None, *, step: int = 0) -> None:
    """Write `run.json`: the resolved configuration, the identity of the run, and changes made when it was resumed.

    Args:
        folder: The folder of the run.
        config: The configuration, including the changes.
        changes: Changed settings by key, with the old and the new value.
        step: The step after which they changed.
    """
    name = config.get("name") or str(config["method"]["_target_"]).split(".")[-2]
    history = _changes(folder) + ([{"step": step, **{key: list(change) for key, change in changes.items()}}] if changes else [])
    contents = {"name": name, "identity": digest(identity(config)), "config": with_absolute_paths(config), "changes": history}
    write_json(folder / RECORD, contents)


def read_record(folder: Path) -> RunRecord:
    """Read the record of a run; runs of earlier versions without a `run.json` have the files of Hydra.

    Raises:
        DataError: If there is none, or it cannot be read.
    """
    file = folder / RECORD
    try:
        if file.exists():
            contents = json.loads(file.read_text())
            name, config = str(contents["name"]), _mapping(contents["config"])
        else:
            file = folder / ".hydra" / "hydra.yaml"
            name = str(yaml.safe_load(file.read_text())["hydra"]["runtime"]["choices"]["method"])
            file = folder / ".hydra" / "config.yaml"
            config = _mapping(yaml.safe_load(file.read_text()))
        file = folder / ".hydra" / "overrides.yaml"
        overrides = [str(text) for text in yaml.safe_load(file.read_text())] if file.exists() else []
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{file} cannot be read: {_reason(error)}") from error
    return RunRecord(name, config, overrides)


def _changes(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads((folder / RECORD).read_text())["changes"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def has_record(folder: Path) -> bool:
    """Return True if a folder is that of a run."""
    return (folder / RECORD).exists() or (folder / ".hydra").is_dir()


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read the metrics of a finished run; values that are not finite are omitted, as if they had not been computed.

    Raises:
        DataError: If the file cannot be read.
    """
    file = folder / METRICS
    try:
        found = _mapping(json.loads(file.read_text()))
        # Files of earlier versions have NaN instead of null.
        metrics = {name: value for name, value in found.items() if value is not None and not _is_infinite(value)}
        odd = [name for name, value in metrics.items() if not isinstance(value, str if name.endswith("/name") else int | float)]
        if odd:
            raise ValueError(f"{odd[0]} is not a number")
        return metrics
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{file} cannot be read: {_reason(error)}") from error


def is_oracle(metrics: Mapping[str, Any]) -> bool:
    """Return True if target labels selected the checkpoint, alone or in a mean or vote of scores."""
    return metrics["selection/name"] == "oracle" or bool(metrics.get("selection/is_oracle"))


def origin_of(config: Mapping[str, Any]) -> Path | None:
    """Return the folder of the run that a run starts from, also if its checkpoint is named."""
    named = config.get("init_from")
    places = [Path(named), *Path(named).parents[:2]] if isinstance(named, str) else []
    return next((place for place in places if has_record(place)), None)


def starts_from_oracle(config: Mapping[str, Any]) -> bool:
    """Return True if target labels selected the checkpoint that a run starts from, or one before it."""
    origin = origin_of(config)
    with contextlib.suppress(DataError, KeyError):
        return origin is not None and (is_oracle(read_metrics(origin)) or starts_from_oracle(read_record(origin).config))
    return False


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _mapping(node: Any) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise TypeError("it contains no keys")
    return node


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}."
    if isinstance(error, KeyError):
        return f"it has no key {error}."
    return f"{first_line(error)}."
