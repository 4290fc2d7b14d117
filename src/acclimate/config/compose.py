"""Composition of overrides and configs into a plain dictionary; other modules do not use OmegaConf."""

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from acclimate.config.groups import conf_dir, config_groups
from acclimate.config.messages import without_interpolations
from acclimate.config.override_errors import UNREADABLE, explain, missing_values, mistaken_for, several_values, unreadable
from acclimate.config.overrides import accept_any_key, as_text, path_of
from acclimate.errors import ConfigError
from acclimate.files.folders import new_folder

# Overrides that name the folder of a run: the key, and that of the command.
FOLDERS = ("folder=", "hydra.run.dir=")
# Hydra has one state for all threads.
LOCK = threading.Lock()


@contextmanager
def _hydra() -> Iterator[None]:
    """Let Hydra compose our configs, also in several threads, and in a program that uses Hydra itself."""
    with LOCK:
        outer = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
                yield
        finally:
            GlobalHydra.instance().hydra = outer


def refuse_no_overrides(overrides: Sequence[str]) -> None:
    """Check that overrides from Python are a list of texts.

    Raises:
        ConfigError: If they are something else, such as a single text.
    """
    if isinstance(overrides, str | Mapping) or not all(isinstance(text, str) for text in overrides):
        raise ConfigError(f"{overrides!r} is not a list of overrides. Give texts, such as ['method=dann', 'seed=1'].")


def resolve(config: DictConfig) -> dict[str, Any]:
    """Convert a configuration to plain containers without interpolations.

    Raises:
        ConfigError: If a mandatory key is missing, or an interpolation cannot be resolved.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise ConfigError(missing_values(missing) + mistaken_for(missing, config))
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(plain, dict)
    plain.pop("experiment", None)
    return {str(key): value for key, value in plain.items()}


def override(saved: dict[str, Any], overrides: Sequence[str], config_dir: Path | None = None) -> dict[str, Any]:
    """Apply overrides to a saved configuration.

    Args:
        saved: The plain, fully resolved configuration.
        overrides: `GROUP=NAME` replaces a group, together with its `GROUP.KEY=VALUE`; other overrides change saved values.
        config_dir: A folder with additional configs, as for `--config-dir`.

    Raises:
        ConfigError: If an override cannot be parsed, or there is no such folder.
    """
    refuse_no_overrides(overrides)
    malformed = next((text for text in overrides if "=" not in text), None)
    if malformed is not None:
        raise ConfigError(f"{malformed} is not of the form KEY=VALUE.")
    groups = {text.split("=")[0] for text in overrides}.intersection(config_groups())
    if "experiment" in groups:
        raise ConfigError("An experiment is a recipe for training. Name the keys that should change: GROUP=NAME or GROUP.KEY=VALUE.")
    # Plain dictionaries only: the saved configuration may be untrusted, and OmegaConf would resolve its interpolations.
    config = dict(saved)
    try:
        for group in groups:
            mine = [text for text in overrides if text.split("=")[0].split(".")[0] == group]
            with _hydra():
                fresh = hydra.compose("train", [*accept_any_key(mine), *_search(config_dir)])
            fresh.folder, fresh.seed = without_interpolations(str(config.get("folder", ""))), config.get("seed", 0)
            config[group] = OmegaConf.to_container(_resolved_node(fresh, group))
        for text in overrides:
            if text.split("=")[0].split(".")[0] not in groups:
                config = _merge(config, _changes(text))
    except UNREADABLE as error:
        raise ConfigError(explain(error)) from error
    return config


def _search(config_dir: Path | None) -> list[str]:
    """Return the override that lets Hydra also search a folder, whose name may have any character."""
    if config_dir is None:
        return []
    if not config_dir.is_dir():
        raise ConfigError(f"{config_dir} is not a folder. Name the one with your own configs.")
    place = without_interpolations(f"file://{config_dir.absolute()}")
    return [f"hydra.searchpath=[{QuotedString(text=place, quote=Quote.single).with_quotes()}]"]


def _changes(text: str) -> dict[str, Any]:
    """Return the nested keys and the value of an override.

    Raises:
        ConfigError: If the value cannot be read.
    """
    if (named := path_of(text)) is not None:
        return _nested(*named)
    try:
        parsed = OverridesParser.create().parse_override(as_text(text))
    except HydraException as error:
        raise ConfigError(unreadable(text, str(error))) from error
    if parsed.is_sweep_override():
        raise ConfigError(several_values(text))
    value = OmegaConf.to_container(OmegaConf.create({"value": parsed.value()}), resolve=True)
    assert isinstance(value, dict)
    return _nested(parsed.key_or_group, value["value"])


def _nested(key: str, value: Any) -> dict[str, Any]:
    """Return a value below the names that the dots of a key separate."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def _merge(saved: Any, changes: Any) -> Any:
    """Merge mappings key by key, and replace all other values."""
    if not isinstance(saved, dict) or not isinstance(changes, dict):
        return changes
    return saved | {key: _merge(saved.get(key), value) for key, value in changes.items()}


def compose(overrides: Sequence[str], folder: Path | None = None, config_dir: Path | None = None) -> dict[str, Any]:
    """Compose `train.yaml` with overrides in Python.

    Args:
        overrides: As for `acclimate train`.
        folder: The folder of the run; None: that of `hydra.run.dir=DIR` or `folder=DIR`, else a new one as for the command.
        config_dir: A folder with additional configs, as for `--config-dir`.

    Returns:
        The plain, resolved configuration.

    Raises:
        ConfigError: If the configuration cannot be composed.
    """
    refuse_no_overrides(overrides)
    named = [text for text in overrides if text.lstrip("+").startswith(FOLDERS)]
    words = [text for text in overrides if text not in named]
    try:
        with _hydra():
            # A placeholder: only Hydra's own runs have a folder, and nothing is written here.
            config = hydra.compose("train", [*accept_any_key(words), "folder=.", *_search(config_dir)], return_hydra_config=True)
    except UNREADABLE as error:
        raise ConfigError(explain(error)) from error
    method = config.hydra.runtime.choices.method
    with open_dict(config):
        del config["hydra"]
    if folder is None and not named:
        folder = new_folder(f"outputs/{datetime.now():%Y-%m-%d/%H-%M-%S}-{method}")
    if folder is None:
        _, config.folder = path_of(f"hydra.run.dir={named[-1].partition('=')[2]}") or ("", None)
    else:
        config.folder = without_interpolations(str(folder))
    plain = resolve(config)
    plain["name"] = plain.get("name") or method
    return plain


def compose_sweep(overrides: Sequence[str], folder: Path = Path(), config_dir: Path | None = None) -> dict[str, dict[str, Any]]:
    """Compose the configurations of all combinations of comma-separated values.

    Args:
        overrides: As for `acclimate train -m`.
        folder: The folder of the runs.
        config_dir: As for `compose`.

    Returns:
        Plain, resolved configurations. Their keys list the varying overrides in order, or all overrides if none varies.

    Raises:
        ConfigError: If the configuration cannot be composed.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(accept_any_key(overrides))
    except HydraException as error:
        raise ConfigError(explain(error)) from error
    choices = [
        [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()] if one.is_sweep_override() else [text]
        for text, one in zip(overrides, parsed, strict=True)
    ]
    configs = {}
    for combination in itertools.product(*choices):
        varying = [text for text, values in zip(combination, choices, strict=True) if len(values) > 1]
        configs[" ".join(text.lstrip("+") for text in varying or combination)] = compose(combination, folder, config_dir)
    return configs


def _resolved_node(config: DictConfig, key: str) -> DictConfig:
    missing = sorted(name for name in OmegaConf.missing_keys(config) if name.startswith(f"{key}."))
    if missing:
        raise ConfigError(missing_values(missing) + mistaken_for(missing, config))
    node = config[key]
    OmegaConf.resolve(node)
    assert isinstance(node, DictConfig)
    return node
