"""Settings that set a run apart from others: its method, and what was typed or what its sweep varies."""

from pathlib import Path
from typing import Any

import yaml

from acclimate.runs.record import read_record

# Hydra writes it into the folder of a sweep.
SWEEP = "multirun.yaml"


def telling_settings(folder: Path) -> dict[str, Any]:
    """Return the method of a run by its name, and the settings that vary in its sweep, or all that were typed for a single run.

    Args:
        folder: The folder of a run whose record is written.
    """
    record = read_record(folder)
    typed = {key: value for text in record.overrides for key, value in [_read(text)]}
    fixed = {key: value for text in typed_for_sweep(folder.resolve().parent) for key, value in [_read(text)]}
    chosen = {key: value for key, value in typed.items() if key not in fixed or fixed[key] != value}
    return {"method": record.name, **{key: value for key, value in chosen.items() if key not in ("method", "name")}}


def typed_for_sweep(folder: Path) -> list[str]:
    """Return the overrides of the sweep in a folder, with all choices of those that vary; none if it is not that of a sweep."""
    file = folder / SWEEP
    if not file.exists():
        return []
    try:
        return [str(text) for text in yaml.safe_load(file.read_text())["hydra"]["overrides"]["task"]]
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return []


def _read(override: str) -> tuple[str, Any]:
    """Return the key and the value of an override; numbers as numbers, everything else as text."""
    key, _, text = override.partition("=")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    return key.lstrip("+~"), value if isinstance(value, bool | int | float) else _number(text)


def _number(text: str) -> float | str:
    """Return a number that YAML takes for text, such as 1e-3."""
    try:
        return float(text)
    except ValueError:
        return text
