"""Comparison of values in a configuration with type annotations."""

import inspect
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import DocInfo, Ge, Gt, Le, Len, Lt

from acclimate.config.messages import did_you_mean, setting, show


def find_problem(path: str, value: Any, hint: Any) -> str | None:
    """Describe how a value violates its annotation; None if it does not.

    Args:
        path: The key, as typed.
        value: A plain value from a configuration.
        hint: The annotation; `annotated_types` limit numbers and lengths.

    >>> find_problem("optimizer.lr", "high", float)
    'optimizer.lr=high is text, but must be a number.'
    """
    if not matches(value, hint):
        return _mismatch(path, value, hint)
    return None if is_in_range(value, hint) else _out_of_range(path, value, hint)


def alternatives(hint: Any) -> list[Any]:
    """Return the members of a union, or the annotation itself.

    >>> alternatives(int | None)
    [<class 'int'>, <class 'NoneType'>]
    """
    return list(typing.get_args(hint)) if typing.get_origin(hint) in (typing.Union, types.UnionType) else [hint]


def matches(value: Any, hint: Any) -> bool:
    """Return True if a plain value from a configuration matches a type annotation, or in doubt.

    >>> matches(3, float), matches(True, int), matches("3", int)
    (True, False, False)
    >>> matches(None, int | None), matches([1, 2], list[int]), matches("joint", Literal["joint", "frozen"])
    (True, True, True)
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin is Annotated:
        return matches(value, arguments[0])
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if len(members := alternatives(hint)) > 1:
        return any(matches(value, member) for member in members)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str, type(None)):
        return isinstance(value, hint)
    if hint is Path:
        return isinstance(value, str)
    container = origin or hint
    if inspect.isclass(container) and container is not object:
        if issubclass(container, Mapping):
            # Nodes are checked separately, against the signatures of their targets.
            return isinstance(value, Mapping) and (
                len(arguments) != 2
                or all(matches(item, arguments[1]) for item in value.values() if not (isinstance(item, Mapping) and "_target_" in item))
            )
        if issubclass(container, Sequence):
            is_uniform = len(arguments) == 1 or (len(arguments) == 2 and arguments[1] is Ellipsis)
            return isinstance(value, list) and (not is_uniform or all(matches(item, arguments[0]) for item in value))
        return isinstance(value, container) or (isinstance(value, Mapping) and "_target_" in value)
    return True


def is_in_range(value: Any, hint: Any) -> bool:
    """Return True if a value that matches a type annotation is within its ranges, and all its numbers are finite.

    >>> is_in_range(0.5, Annotated[float, Ge(0), Lt(1)]), is_in_range(1, Annotated[float, Ge(0), Lt(1)] | None)
    (True, False)
    >>> is_in_range([1.0, math.inf], list[float]), is_in_range([], Annotated[list[int], Len(1)])
    (False, False)
    """
    arguments = typing.get_args(hint)
    if not _is_representable(value):
        return False
    if typing.get_origin(hint) is Annotated:
        return is_in_range(value, arguments[0]) and all(_satisfies(value, limit) for limit in hint.__metadata__)
    if len(members := alternatives(hint)) > 1:
        return any(matches(value, member) and is_in_range(value, member) for member in members)
    return all(is_in_range(item, _item_hint(value, hint)) for item in _items(value).values())


def _is_representable(value: Any) -> bool:
    """Return True unless a value is a number that is not finite or has more than 64 bits."""
    return not (isinstance(value, float) and not math.isfinite(value)) and not (isinstance(value, int) and abs(value) >= 2**63)


def _items(value: Any) -> dict[Any, Any]:
    """Return the entries of a list by index, or of a mapping by key; nodes have no entries."""
    if isinstance(value, Mapping):
        return {} if "_target_" in value else dict(value)
    return dict(enumerate(value)) if isinstance(value, list) else {}


def _item_hint(value: Any, hint: Any) -> Any:
    """Return the annotation of the entries of a list or a mapping."""
    arguments = typing.get_args(hint)
    if isinstance(value, Mapping):
        return arguments[1] if len(arguments) == 2 else Any
    return arguments[0] if arguments and (len(arguments) == 1 or arguments[1] is Ellipsis) else Any


def _satisfies(value: Any, limit: Any) -> bool:
    match limit:
        case Ge(ge=least):
            return bool(value >= least)
        case Gt(gt=bound):
            return bool(value > bound)
        case Le(le=most):
            return bool(value <= most)
        case Lt(lt=bound):
            return bool(value < bound)
        case Len(min_length=least, max_length=most):
            return least <= len(value) and (most is None or len(value) <= most)
    return True


def _describe_range(hint: Any) -> str:
    """Describe the limits of an annotation in words.

    >>> _describe_range(Annotated[float, Ge(0), Lt(1)])
    'at least 0 and below 1'
    """
    words = []
    for limit in getattr(hint, "__metadata__", ()):
        match limit:
            case Ge(ge=bound):
                words.append(f"at least {bound}")
            case Gt(gt=bound):
                words.append(f"above {bound}")
            case Le(le=bound):
                words.append(f"at most {bound}")
            case Lt(lt=bound):
                words.append(f"below {bound}")
            case Len(min_length=least, max_length=most):
                words.append(f"a list of {'at least ' if most is None else ''}{least}")
    return " and ".join(words)


def _mismatch(path: str, value: Any, hint: Any) -> str:
    """Describe a value that does not match its annotation."""
    items = [typing.get_args(sequence)[0] for sequence in _alternatives(hint) if _is_sequence(sequence) and typing.get_args(sequence)]
    if len(items) == 1 and isinstance(value, list):
        wrong = [place for place, item in enumerate(value) if not matches(item, items[0])]
        if wrong:
            return _mismatch(f"{path}[{wrong[0]}]", value[wrong[0]], items[0])
    if all(_is_sequence(alternative) or alternative is type(None) for alternative in _alternatives(hint)):
        return f"{path}={show(value)} is not a list. Type {setting(path, [value])}."
    only_choices = all(typing.get_origin(alternative) is Literal or alternative is type(None) for alternative in _alternatives(hint))
    choices = [choice for choice in _choices(hint) if choice is not None and (only_choices or type(choice) is type(value))]
    if choices:
        suggestion = did_you_mean(str(value), [str(choice) for choice in choices])
        allowed = ", ".join(dict.fromkeys(map(show, choices)))
        return f"{path}={show(value)} is not allowed.{suggestion} Choose one of {allowed}.{_advice(hint)}"
    return f"{path}={show(value)} is {_describe(type(value))}, but must be {_describe(hint)}."


def _out_of_range(path: str, value: Any, hint: Any) -> str:
    """Describe a value that matches its annotation, but not its ranges."""
    if not _is_representable(value):
        return f"{path} must be a finite number{' of at most 64 bits' if isinstance(value, int) else ''}, but is {value}."
    # Only the ranges for the type of the value: 0 is neither text nor a list, even if these are allowed.
    fitting = [member for one in alternatives(hint) for member in [one, *alternatives(_bare(one))] if matches(value, member)]
    for key, item in _items(value).items():
        for member in fitting:
            if not is_in_range(item, inner := _item_hint(value, _bare(member))):
                return _out_of_range(f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}", item, inner)
    ranges = {_describe_range(member): _describe(member) for member in fitting if _describe_range(member)}
    words = " or ".join(ranges if len(ranges) == 1 else (f"{kind} {range_}" for range_, kind in ranges.items()))
    return f"{path} must be {words}, but is {show(value)}.{_advice(hint)}"


def _advice(hint: Any) -> str:
    notes = [note for one in (hint, *alternatives(hint)) for note in getattr(one, "__metadata__", ()) if isinstance(note, DocInfo)]
    return f" {notes[0].documentation}" if notes else ""


def _alternatives(hint: Any) -> list[Any]:
    """Return the members of a union without their ranges."""
    return [member for one in alternatives(_bare(hint)) for member in alternatives(_bare(one))]


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _is_sequence(hint: Any) -> bool:
    container = typing.get_origin(hint) or hint
    return inspect.isclass(container) and issubclass(container, Sequence) and not issubclass(container, str | bytes)


def _choices(hint: Any) -> list[Any]:
    """Return the values of all literals in a hint."""
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    return [choice for argument in typing.get_args(hint) for choice in _choices(argument)]


def _describe(hint: Any) -> str:
    hint = _bare(hint)
    if hint is type(None):
        return "null"
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(show, typing.get_args(hint)))
    if len(_alternatives(hint)) > 1:
        return " or ".join(dict.fromkeys(_describe(argument) for argument in _alternatives(hint)))
    if _is_sequence(hint):
        return "a list"
    if inspect.isclass(typing.get_origin(hint) or hint) and issubclass(typing.get_origin(hint) or hint, Mapping):
        return "keys with values"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint) or str(getattr(hint, "__name__", hint))
