"""Check of untrusted configurations before anything in them is imported or built."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from acclimate.config.allow_list import ALLOWED
from acclimate.config.messages import setting
from acclimate.config.paths import LISTS_OF_NAMES
from acclimate.config.paths import NAMES as NAMES_OF_DATA
from acclimate.errors import ConfigError

# Settings that are part of the names of files written by callbacks and loggers.
NAMES = ("filename", "name", "version", "sub_dir", "run_name", "experiment_name", "project")
# Largest values in a file, because some of them would be allocated or started before an error.
LARGEST = {
    "batch_size": 65_536,
    "target_batch_size": 65_536,
    "eval_batch_size": 65_536,
    "image_size": 4_096,
    "channels": 4_096,
    "num_workers": 256,
    "fixed_views": 65_536,
    "max_pixels": 2**30,
    "num_source": 1_000_000,
    "num_source_eval": 1_000_000,
    "devices": 256,
    "num_nodes": 256,
    "width": 65_536,
    "bottleneck": 65_536,
    "lora_rank": 65_536,
}
# Largest value of all other whole numbers; seeds have 32 bits.
LARGEST_OF_ALL = 2**32
KNOWN = frozenset(name for group in ALLOWED.values() for name in group)
MAX_DEPTH, MAX_VALUES, MAX_TEXT, MAX_LISTED = 20, 20_000, 4_096, 9


def refuse_strangers(config: object, place: object, trust: Collection[str] = ()) -> dict[str, Any]:
    """Check a configuration from a file before anything in it is imported or built.

    The saved configuration of a run is plain and resolved, so everything that Hydra would interpret is refused as well.

    Args:
        config: The contents of the file.
        place: Description of the file for the message.
        trust: Modules, including everything in them, or full names of targets that the user trusts.

    Returns:
        The configuration.

    Raises:
        ConfigError: If it contains anything that must not be built from a file, with a list.
    """
    if not isinstance(config, dict):
        raise ConfigError(f"{place} contains no configuration, so it was not written by acclimate train.")
    problems: list[str] = []
    strangers: list[str] = []
    for number, (problem, stranger) in enumerate(_inspect(config, trust)):
        if number > MAX_VALUES:
            raise ConfigError(f"{place} contains a configuration of more than {MAX_VALUES} values; acclimate train writes a few hundred.")
        problems += [] if problem is None else [problem]
        strangers += [] if stranger is None else [stranger]
    if problems:
        more = [f"{len(problems) - MAX_LISTED} more problems."] * (len(problems) > MAX_LISTED)
        listed = [f"  - {problem}" for problem in [*problems[:MAX_LISTED], *more]]
        # Together with what is already trusted, because an argument replaces an earlier one.
        names = list(dict.fromkeys([*sorted({*trust} - KNOWN), *strangers]))
        advice = [f"If this code is your own, add {setting('trust', names)}. Otherwise, do not use the file."] * any(strangers)
        raise ConfigError(f"Nothing was built from {place}, which somebody else may have written:", *listed, *advice)
    return config


Finding = tuple[str | None, str | None]
FINE: Finding = (None, None)


def _inspect(node: object, trust: Collection[str], path: str = "", group: str = "", depth: int = 0) -> Iterator[Finding]:
    """Yield the problem of each invalid value, and the untrusted target, if it is one."""
    if depth > MAX_DEPTH:
        yield f"{path[:80]} is nested too deeply.", None
    elif isinstance(node, dict):
        yield FINE
        target = node.get("_target_")
        name = target if isinstance(target, str) else ""
        trusted, own = is_trusted(name, trust), ALLOWED.get(group, {})
        settings = None if trusted else own.get(name)
        for key, value in node.items():
            if not isinstance(key, str):
                yield f"{path or 'The configuration'} has a key that is not text.", None
                continue
            where = f"{path}.{key}" if path else key
            if key == "_target_":
                yield FINE if trusted or name in own else _stranger(where, value)
            elif key == "_partial_" and isinstance(value, bool):
                yield FINE
            elif (key.startswith("_") and not trusted) or (settings is not None and key not in settings):
                yield f"{where} is a setting that is not allowed in files. Type it on the command line.", None
            else:
                yield from _inspect(value, trust, where, group or key, depth + 1)
    elif isinstance(node, list):
        yield FINE
        for place, value in enumerate(node):
            yield from _inspect(value, trust, f"{path}[{place}]", group, depth + 1)
    else:
        yield _problem_of_value(path, node), None


def is_trusted(target: str, trust: Collection[str]) -> bool:
    """Return True if a target or one of its parent modules is trusted.

    >>> is_trusted("mine.Net", ["mine"]), is_trusted("mine.Net", ["mine.Net"]), is_trusted("mineral.Net", ["mine"])
    (True, True, False)
    """
    return any(target == name or target.startswith(f"{name}.") for name in trust)


def _stranger(path: str, target: object) -> Finding:
    name = str(target)[:120] if isinstance(target, str) else type(target).__name__
    return f"{path}={name} is not among what acclimate builds from a file.", name


def _problem_of_value(path: str, value: object) -> str | None:
    key = path.rpartition(".")[2].partition("[")[0]
    if value is None or isinstance(value, bool | float):
        return None
    if isinstance(value, int):
        largest = LARGEST.get(key, LARGEST_OF_ALL)
        return None if abs(value) <= largest else f"{path} is a number above {largest}, the largest that is allowed in files."
    if not isinstance(value, str):
        return f"{path} is of the type {type(value).__name__}, which does not occur in saved configurations."
    if value == "???" or "\0" in value or len(value) > MAX_TEXT or ("${" in value and not _is_name(path, value)):
        return f"{path}={value[:80]} is not a plain value; interpolations are not allowed in files."
    is_name = key in NAMES and path.startswith(("callbacks.", "logger."))
    if is_name and (len(PurePath(value).parts) > 1 or value == ".."):
        return f"{path}={value[:80]} is a path, but only a name is allowed."
    return None


def _is_name(path: str, value: str) -> bool:
    """Return True if a text can only be a name, although it looks like an interpolation: one of data, or that of a file."""
    key = path.partition("[")[0]
    return key in (*NAMES_OF_DATA, *LISTS_OF_NAMES) or key.startswith("data.rename.") or os.path.lexists(value)


def targets(config: object) -> set[str]:
    """Return the names of all targets in a configuration.

    >>> sorted(targets({"model": {"_target_": "mine.Net", "layers": [{"_target_": "mine.Layer"}]}}))
    ['mine.Layer', 'mine.Net']
    """
    if isinstance(config, Mapping):
        own = {config["_target_"]} if isinstance(config.get("_target_"), str) else set()
        return own.union(*(targets(value) for value in config.values()))
    return set().union(*(targets(value) for value in config)) if isinstance(config, list) else set()


def trusted_by(config: Mapping[str, Any]) -> set[str]:
    """Return the targets that the author of a configuration trusts: those that it names, and those of `trust`."""
    return targets(config).union(config.get("trust") or [])
