"""Everything that is wrong with a configuration, in one message."""

import inspect
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import DocInfo

from acclimate.config.foreign import limits
from acclimate.config.groups import did_you_mean, group_options
from acclimate.config.signatures import alternatives, describe_range, is_in_range, item_hint, items, locate, matches, parameters, type_hints
from acclimate.errors import ConfigError

# What `run` hands to a component besides its configuration.
PROVIDED = {
    "model": {"num_classes"},
    "method": {"classifier", "optimizer", "schedule"},
    "trainer": {"callbacks", "logger"},
}
# Keys of ours beside those of a class that is not ours.
ADDED = {
    "trainer": [
        inspect.Parameter("compile", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool),
        inspect.Parameter("on_nonfinite", inspect.Parameter.KEYWORD_ONLY, default="stop", annotation=Literal["stop", "skip"]),
    ]
}
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
    "folder",
    "name",
)
# What the random generators of NumPy can be seeded with.
MAX_SEED = 2**32 - 1
RESERVED_KEYS = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}


def uses_several_devices(trainer: Mapping[str, Any]) -> bool:
    """Whether a trainer's configuration asks for a process for each of several devices.

    >>> uses_several_devices({"devices": 1}), uses_several_devices({"devices": "auto", "strategy": "ddp"})
    (False, True)
    """
    return str(trainer.get("devices", 1)) not in ("1", "auto") or str(trainer.get("strategy", "auto")) != "auto"


def check_config(config: Mapping[str, Any]) -> None:
    """Compares every component with the signature of what it configures.

    Args:
        config: Plain and fully resolved.

    Raises:
        ConfigError: Lists all unknown keys, missing keys, wrong types and values, and targets that cannot be imported.
    """
    problems = [f"{key} is not a key of the configuration.{did_you_mean(key, ROOT_KEYS)}" for key in config if key not in ROOT_KEYS]
    problems += [f"{key} is missing." for key in ROOT_KEYS if key not in config and key != "name"]
    for key in ("data", "model", "method", "optimizer", "scheduler", "selection", "logger", "trainer"):
        node = config.get(key)
        if key in config and not (isinstance(node, Mapping) and "_target_" in node):
            problems.append(
                f"{key}={_show(node)} names nothing to build. It needs a _target_, which {key}=NAME sets: {', '.join(group_options(key))}."
            )
    callbacks = config.get("callbacks", {})
    if isinstance(callbacks, Mapping):
        for name, node in callbacks.items():
            if node is not None and not (isinstance(node, Mapping) and "_target_" in node):
                problems.append(f"callbacks.{name}={_show(node)} names nothing to build. It needs a _target_, or is null to leave it out.")
    else:
        problems.append(f"callbacks={_show(callbacks)} must be callbacks by name. Choose one of {', '.join(group_options('callbacks'))}.")
    seed = config.get("seed", 0)
    if not matches(seed, int) or not 0 <= seed <= MAX_SEED:
        problems.append(f"seed={_show(seed)} must be a whole number from 0 to {MAX_SEED}.")
    if not isinstance(config.get("init_from"), str | None):
        problems.append(f"init_from={_show(config['init_from'])} must be the folder of a run, a checkpoint, or null.")
    if not isinstance(config.get("name"), str | None):
        problems.append(f"name={_show(config['name'])} must be text, or null for the name of the method.")
    if not matches(config.get("trust", []), list[str]):
        problems.append(f"trust={_show(config['trust'])} must list modules or targets: trust=[my_module].")
    if not isinstance(config.get("resume", False), bool):
        problems.append(f"resume={_show(config['resume'])} must be true, false or the folder of a run.")
    problems += _check_node(config, "")
    if problems:
        heading = "The configuration has a problem:" if len(problems) == 1 else f"The configuration has {len(problems)} problems:"
        raise ConfigError("\n".join([heading, *(f"  - {problem}" for problem in problems)]))


def _check_node(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield from _check_target(node, path)
        for key, value in node.items():
            yield from _check_node(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _check_node(value, f"{path}[{place}]")


def _check_target(node: Mapping[str, Any], path: str) -> Iterator[str]:
    try:
        target = locate(str(node["_target_"]))
    except (ImportError, AttributeError) as error:
        yield f"{path}._target_={node['_target_']} cannot be imported: {error}."
        return
    added = {parameter.name: parameter for parameter in ADDED.get(path, [])}
    accepted = parameters(target) | added
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    named = {name: p for name, p in accepted.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    hints = type_hints(target) | limits(str(node["_target_"])) | {name: parameter.annotation for name, parameter in added.items()}
    name = getattr(target, "__name__", str(target))
    provided = PROVIDED.get(path, set())
    for key, value in node.items():
        if key in RESERVED_KEYS:
            continue
        if key in provided:
            yield f"{path}.{key} is not to be set: the other parts of the configuration provide it."
        elif key not in named:
            if not takes_any:
                settable = [name for name in named if name not in provided]
                hint = did_you_mean(key, settable) or f" It takes {', '.join(settable) or 'none'}."
                yield f"{path}.{key}: {name} has no such key.{hint}"
        elif isinstance(value, Mapping) and "_target_" in value:
            continue
        elif not matches(value, hints.get(key, Any)):
            yield _describe_mismatch(f"{path}.{key}", value, hints[key])
        elif not is_in_range(value, hints.get(key, Any)):
            yield _describe_out_of_range(f"{path}.{key}", value, hints.get(key, Any))
    if not node.get("_partial_"):
        for key, parameter in named.items():
            if parameter.default is parameter.empty and key not in node and key not in provided:
                yield f"{path}.{key} is missing: {name} needs it."


def _describe_mismatch(path: str, value: Any, hint: Any) -> str:
    items = [typing.get_args(sequence)[0] for sequence in _alternatives(hint) if _is_sequence(sequence) and typing.get_args(sequence)]
    if len(items) == 1 and isinstance(value, list):
        wrong = [place for place, item in enumerate(value) if not matches(item, items[0])]
        if wrong:
            return _describe_mismatch(f"{path}[{wrong[0]}]", value[wrong[0]], items[0])
    if all(_is_sequence(alternative) or alternative is type(None) for alternative in _alternatives(hint)):
        return f"{path}={_show(value)} is not a list. Type '{path}=[{_show(value)}]'."
    only_choices = all(typing.get_origin(alternative) is Literal or alternative is type(None) for alternative in _alternatives(hint))
    choices = [choice for choice in _choices(hint) if choice is not None and (only_choices or type(choice) is type(value))]
    if choices:
        suggestion = did_you_mean(str(value), [str(choice) for choice in choices])
        allowed = ", ".join(dict.fromkeys(map(_show, choices)))
        return f"{path}={_show(value)} is not allowed.{suggestion} Choose one of {allowed}.{_advice(hint)}"
    return f"{path}={_show(value)} is {_describe(type(value))}, but must be {_describe(hint)}."


def _describe_out_of_range(path: str, value: Any, hint: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path} must be a finite number, but is {value}."
    # The ranges of what the value is: 0 is no text and no list, whatever else is allowed.
    fitting = [member for one in alternatives(hint) for member in [one, *alternatives(_bare(one))] if matches(value, member)]
    for key, item in items(value).items():
        for member in fitting:
            if not is_in_range(item, inner := item_hint(value, _bare(member))):
                return _describe_out_of_range(f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}", item, inner)
    ranges = {describe_range(member): _describe(member) for member in fitting if describe_range(member)}
    words = " or ".join(ranges if len(ranges) == 1 else (f"{kind} {range_}" for range_, kind in ranges.items()))
    return f"{path} must be {words}, but is {_show(value)}.{_advice(hint)}"


def _advice(hint: Any) -> str:
    notes = [note for one in (hint, *alternatives(hint)) for note in getattr(one, "__metadata__", ()) if isinstance(note, DocInfo)]
    return f" {notes[0].documentation}" if notes else ""


def _show(value: Any) -> str:
    """A value as one would type it."""
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


def _alternatives(hint: Any) -> list[Any]:
    """The members of a union without their ranges."""
    return [member for one in alternatives(_bare(hint)) for member in alternatives(_bare(one))]


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _is_sequence(hint: Any) -> bool:
    container = typing.get_origin(hint) or hint
    return inspect.isclass(container) and issubclass(container, Sequence) and not issubclass(container, str | bytes)


def _choices(hint: Any) -> list[Any]:
    """All values of the literals in a hint."""
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    return [choice for argument in typing.get_args(hint) for choice in _choices(argument)]


def _describe(hint: Any) -> str:
    hint = _bare(hint)
    if hint is type(None):
        return "null"
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(_show, typing.get_args(hint)))
    if len(_alternatives(hint)) > 1:
        return " or ".join(dict.fromkeys(_describe(argument) for argument in _alternatives(hint)))
    if _is_sequence(hint):
        return "a list"
    if inspect.isclass(typing.get_origin(hint) or hint) and issubclass(typing.get_origin(hint) or hint, Mapping):
        return "keys with values"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint) or str(getattr(hint, "__name__", hint))
