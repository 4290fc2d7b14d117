"""Validation of a configuration, with all problems in one message."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from acclimate.config.components import Read, check_components
from acclimate.config.groups import group_options
from acclimate.config.messages import did_you_mean, setting, show
from acclimate.config.signatures import signature_of
from acclimate.config.source_signatures import UnknownSourceError, read_signature
from acclimate.config.suggestions import suggest_for_unknown
from acclimate.errors import ConfigError
from acclimate.files.console import VERBOSITIES

ROOT_KEYS = (
    "data",
    "model",
    "method",
    "optimizer",
    "scheduler",
    "selection",
    "callbacks",
    "logger",
    "trainer",
    "seed",
    "init_from",
    "trust",
    "resume",
    "resume_with",
    "folder",
    "name",
    "verbosity",
)
# Keys that configurations of earlier versions lack.
LATER_KEYS = ("name", "resume_with", "verbosity")
# Keys whose values are lists of texts, with a description and an example.
LISTS = {"trust": ("modules or targets", "my_module"), "resume_with": ("keys that change", "optimizer.lr")}
# Largest seed of NumPy's random generators.
MAX_SEED = 2**32 - 1


def plain(value: Any) -> Any:
    """Return a configuration from Python in the types that composing gives: paths become text, tuples lists, and scalars of NumPy numbers.

    >>> from pathlib import Path
    >>> plain({"source": Path("photos"), "betas": (0.9, 0.99)})
    {'source': 'photos', 'betas': [0.9, 0.99]}
    """
    match value:
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case PathLike():
            return fspath(value)
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0
    return value.item() if is_scalar else value


def check_config(config: Mapping[str, Any]) -> None:
    """Compare every component with the signature of its target.

    Args:
        config: The plain, fully resolved configuration.

    Raises:
        ConfigError: Lists all unknown keys, missing keys, wrong types and values, and targets that cannot be imported.
    """
    _refuse_problems(config, read_signature, signature_of)


def check_before_imports(config: Mapping[str, Any]) -> None:
    """Compare every component with signatures read from source code, without importing torch and Lightning.

    Args:
        config: As for `check_config`, which also finds problems that the source code does not show, such as a target of a
            wrong class.

    Raises:
        ConfigError: As for `check_config`.
    """
    _refuse_problems(config, read_signature)


def check_component(key: str, node: Mapping[str, Any]) -> None:
    """Compare a single component with the signature of its target.

    Args:
        key: The place of the component in the configuration, such as `model`, or `inputs` for the kind of input of a checkpoint.
        node: Plain and fully resolved.

    Raises:
        ConfigError: As for `check_config`.
    """
    _refuse(list(check_components({key: node}, signature_of)))


def _refuse_problems(config: Mapping[str, Any], *readers: Read) -> None:
    """Raise an error with the problems found by the first of several readers of signatures that knows all of them."""
    for read in readers:
        try:
            problems = find_problems(config, read)
        except UnknownSourceError:
            # A component with an unknown signature may have further problems, which belong into the same message.
            continue
        _refuse(problems)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        heading = "The configuration has a problem:" if len(problems) == 1 else f"The configuration has {len(problems)} problems:"
        raise ConfigError(heading, *(f"  - {problem}" for problem in problems))


def find_problems(config: Mapping[str, Any], read: Read) -> list[str]:
    """Return all problems of a configuration that can be found with the signatures returned by `read`."""
    problems = [
        f"{key} is not a key of the configuration.{did_you_mean(key, ROOT_KEYS) or suggest_for_unknown(key, value, config)}"
        for key, value in config.items()
        if key not in ROOT_KEYS
    ]
    problems += [f"{key} is missing." for key in ROOT_KEYS if key not in config and key not in LATER_KEYS]
    for key in ("data", "model", "method", "optimizer", "scheduler", "selection", "trainer"):
        node = config.get(key)
        if key in config and not (isinstance(node, Mapping) and "_target_" in node):
            problems.append(
                f"{key}={show(node)} names nothing to build. It needs a _target_, which {key}=NAME sets: {', '.join(group_options(key))}."
            )
    for group in ("callbacks", "logger"):
        problems += _check_named(group, config.get(group, {}))
    return [*problems, *_check_settings(config), *check_components(config, read)]


def _check_named(group: str, nodes: Any) -> Iterator[str]:
    """Check that a group contains components by name; the logger of earlier versions has none."""
    options = ", ".join(group_options(group))
    if not isinstance(nodes, Mapping):
        yield f"{group}={show(nodes)} must be {group.rstrip('s')}s by name. Choose one of {options}."
        return
    named = {name: node for name, node in nodes.items() if isinstance(node, Mapping) and "_target_" in node}
    if group == "logger" and "_target_" in nodes:
        if named:
            yield (
                f"logger._target_={show(nodes['_target_'])} has no name, but stands beside {', '.join(named)}. Write it below a name of "
                "your choice: logger.NAME._target_."
            )
        return
    for name, node in nodes.items():
        if node is not None and name not in named:
            yield (
                f"{group}.{name}={show(node)} names nothing to build. It needs a _target_, which {group}=NAME sets ({options}), or is "
                "null to leave it out."
            )


def _check_settings(config: Mapping[str, Any]) -> Iterator[str]:
    """Check the keys that are not components."""
    seed = config.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        yield f"seed={show(seed)} must be a whole number from 0 to {MAX_SEED}."
    if not isinstance(config.get("init_from"), str | None):
        yield f"init_from={show(config['init_from'])} must be the folder of a run, a checkpoint, or null."
    if not isinstance(config.get("name"), str | None):
        value = config["name"]
        yield f"name={show(value)} must be text: type {setting('name', show(value))}, or name=null for the name of the method."
    if (verbosity := config.get("verbosity", "normal")) not in VERBOSITIES:
        yield f"verbosity={show(verbosity)} must be one of {', '.join(VERBOSITIES)}.{did_you_mean(str(verbosity), VERBOSITIES)}"
    for key, (items, example) in LISTS.items():
        value = config.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            yield f"{key}={show(value)} must list {items}: {key}=[{example}]."
    if not (isinstance(config.get("folder", "."), str) and config.get("folder", ".")):
        yield f"folder={show(config['folder'])} must name a folder. Leave the key out, and type hydra.run.dir=DIR."
    if not isinstance(config.get("resume", False), bool):
        yield (
            f"resume={show(config['resume'])} must be true, false or the folder of a run: acclimate train resume=DIR. In Python, pass "
            "config | {'resume': True} with the same folder."
        )
