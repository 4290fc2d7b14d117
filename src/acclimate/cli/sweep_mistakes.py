"""Mistakes in the command of a sweep that are found before any job is launched."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from acclimate.config.check import check_before_imports
from acclimate.config.compose import FOLDERS
from acclimate.config.groups import group_options
from acclimate.config.machine import refuse_missing_files, refuse_missing_packages
from acclimate.config.messages import setting, unquoted
from acclimate.config.override_errors import missing_plug_in
from acclimate.errors import ConfigError, UserError

# Launchers whose jobs may run on machines with other files and packages.
ELSEWHERE = ("submitit_slurm", "ray")


def refuse_missing_launcher(config: DictConfig) -> None:
    """Check that the launcher is installed.

    Raises:
        ConfigError: If it is not, with the extra to install.
    """
    if config.hydra.launcher._target_ not in Plugins.instance().class_name_to_class:
        raise ConfigError(missing_plug_in("hydra/launcher", config.hydra.runtime.choices["hydra/launcher"]))


def refuse_missing_optuna() -> None:
    """Check that Optuna is installed.

    Raises:
        ConfigError: If it is not, with the extra to install.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(missing_plug_in("hydra/sweeper", "optuna"))


def refuse_folder_of_run(arguments: Sequence[str]) -> None:
    """Check that no single folder is named for all jobs.

    Raises:
        ConfigError: If there is one, with the key that names the folder of a sweep.
    """
    for text in arguments:
        key, _, value = text.lstrip("+").partition("=")
        if f"{key}=" in FOLDERS:
            raise ConfigError(
                f"{key}={value} names the folder of a single run, and each job of a sweep has its own. Name the folder of the sweep: "
                f"{setting('hydra.sweep.dir', unquoted(value))}."
            )


def refuse_values(overrides: Sequence[Override], *, is_search: bool) -> None:
    """Check that keys have values that a sweep can take one after the other.

    Args:
        overrides: The parsed overrides of the sweep.
        is_search: True for a search, which also takes intervals.

    Raises:
        ConfigError: If an interval is not to be searched, or a pattern matches no name.
    """
    for one in overrides:
        key = one.get_key_element().lstrip("+")
        typed = shown(one)
        if one.is_interval_sweep() and not is_search:
            raise ConfigError(
                f"{typed} is an interval, from which only a search takes values. Add hydra/sweeper=optuna, or type {key}=VALUE,VALUE."
            )
        if one.is_discrete_sweep() and not list(one.sweep_string_iterator()):
            raise ConfigError(f"{typed} matches no name. Choose from {', '.join(group_options(key))}.")


def summary_of(mistakes: Mapping[str, UserError]) -> UserError:
    """Return an error with the mistakes of all jobs, which are usually the same.

    Args:
        mistakes: Mistakes by the names of jobs.
    """
    first, *others = mistakes.values()
    if all(str(other) == str(first) for other in others):
        return first
    return ConfigError(*(line for name, mistake in mistakes.items() for line in f"{name}: {mistake}".splitlines()))


def refuse_mistaken(mistakes: Sequence[UserError | None], overrides: Sequence[Override]) -> None:
    """Check that not all jobs of a search have mistakes.

    Args:
        mistakes: Mistakes of some jobs; None for a job without one.
        overrides: The parsed overrides of the search.

    Raises:
        ConfigError: If all have mistakes.
    """
    first = mistakes[0]
    if first is None or not all(mistakes):
        return
    lines = [*first.args]
    for one in overrides:
        if one.is_interval_sweep() and re.search(r"=interval\(-?\d+,-?\d+\)$", shown(one)):
            lines.append(f"For whole numbers, type {shown(one).replace('=', '=int(')}).")
    raise ConfigError(*lines)


def shown(override: Override) -> str:
    """Return an override as typed."""
    return str(override.input_line).removeprefix("++")


def refuse_batch_size(number: object) -> None:
    """Check the number of jobs that are launched at a time.

    Raises:
        ConfigError: If it is no number of jobs.
    """
    if number is not None and (not isinstance(number, int) or number < 1):
        raise ConfigError(f"hydra.sweeper.max_batch_size={number} must be a whole number of at least 1, or null for all jobs at once.")


def mistake_in(config: Mapping[str, Any], launcher: str) -> UserError | None:
    """Return the error with the mistakes in the configuration of a job that show before anything is imported, or None.

    Args:
        config: The plain, resolved configuration.
        launcher: Name of the launcher.
    """
    try:
        check_before_imports(config)
        if launcher not in ELSEWHERE:
            refuse_missing_files(config)
            refuse_missing_packages(config)
    except UserError as error:
        return error
    return None
