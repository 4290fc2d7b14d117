"""From overrides and configs to a plain dictionary: the last OmegaConf in sight."""

import itertools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from acclimate.config.groups import conf_dir
from acclimate.config.overrides import accept_any_key, config_groups, explain, missing_values, mistaken_for, unreadable
from acclimate.errors import ConfigError
from acclimate.files.folders import new_folder

# What names the folder of a run: the key, and what the command has for it.
FOLDERS = ("folder=", "hydra.run.dir=")


def resolve(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers without interpolations.

    Raises:
        ConfigError: If a key that must be set is not, or an interpolation leads nowhere.
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


def override(saved: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A saved configuration with changes.

    Args:
        saved: Plain and fully resolved.
        overrides: `GROUP=NAME` takes the group anew, with the `GROUP.KEY=VALUE` that follow; other keys change what is saved.

    Raises:
        ConfigError: If an override cannot be understood.
    """
    malformed = next((text for text in overrides if "=" not in text), None)
    if malformed is not None:
        raise ConfigError(f"{malformed} is not of the form KEY=VALUE.")
    groups = {text.split("=")[0] for text in overrides}.intersection(config_groups())
    if "experiment" in groups:
        raise ConfigError("An experiment is a recipe for training. Give the keys that should change: GROUP=NAME or GROUP.KEY=VALUE.")
    # Plain throughout: what was saved may be a stranger's, and OmegaConf would look up its interpolations.
    config = dict(saved)
    try:
        for group in groups:
            mine = [text for text in overrides if text.split("=")[0].split(".")[0] == group]
            with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
                fresh = hydra.compose("train", accept_any_key(mine))
            fresh.folder, fresh.seed = config.get("folder"), config.get("seed", 0)
            config[group] = OmegaConf.to_container(_resolved_node(fresh, group))
        for text in overrides:
            if text.split("=")[0].split(".")[0] not in groups:
                try:
                    changes = OmegaConf.to_container(OmegaConf.from_dotlist([text]), resolve=True)
                except yaml.YAMLError as error:
                    raise ConfigError(unreadable(text, str(error))) from error
                assert isinstance(changes, dict)
                config = _merge(config, changes)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
    return config


def _merge(saved: Any, changes: Any) -> Any:
    """Mappings key by key; all else is replaced."""
    if not isinstance(saved, dict) or not isinstance(changes, dict):
        return changes
    return saved | {key: _merge(saved.get(key), value) for key, value in changes.items()}


def compose(overrides: Sequence[str], folder: Path | None = None, config_dir: Path | None = None) -> dict[str, Any]:
    """Compose `train.yaml` with overrides, without a command.

    Args:
        overrides: As for `acclimate train`.
        folder: Of the run; None takes what `hydra.run.dir=DIR` or `folder=DIR` names, or else makes a new one as the command does.
        config_dir: A folder of further configs, as for `--config-dir`.

    Returns:
        Plain and resolved.

    Raises:
        ConfigError: If the configuration cannot be composed.
    """
    named = [text for text in overrides if text.lstrip("+").startswith(FOLDERS)]
    words = [text for text in overrides if text not in named]
    search = [] if config_dir is None else [f"hydra.searchpath=['file://{config_dir.absolute()}']"]
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            # Nothing is written, and only Hydra's own runs know a folder.
            config = hydra.compose("train", [*accept_any_key(words), "folder=.", *search], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
    method = config.hydra.runtime.choices.method
    with open_dict(config):
        del config["hydra"]
    if folder is None and not named:
        folder = new_folder(f"outputs/{datetime.now():%Y-%m-%d/%H-%M-%S}-{method}")
    config.folder = named[-1].partition("=")[2] if folder is None else str(folder)
    plain = resolve(config)
    plain["name"] = plain.get("name") or method
    return plain


def compose_sweep(overrides: Sequence[str], folder: Path = Path()) -> dict[str, dict[str, Any]]:
    """Plain, resolved configurations for every combination of the values that commas separate.

    Args:
        overrides: As for `acclimate train -m`.
        folder: Where a run would write.

    Returns:
        By a name that lists what varies, in the order of the overrides, or all of them where nothing does.

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
        configs[" ".join(text.lstrip("+") for text in varying or combination)] = compose(combination, folder)
    return configs


def _resolved_node(config: DictConfig, key: str) -> DictConfig:
    missing = sorted(name for name in OmegaConf.missing_keys(config) if name.startswith(f"{key}."))
    if missing:
        raise ConfigError(missing_values(missing) + mistaken_for(missing, config))
    node = config[key]
    OmegaConf.resolve(node)
    assert isinstance(node, DictConfig)
    return node
