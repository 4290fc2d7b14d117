"""What is said of values that do not fit the annotations of their parameters."""

import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import DocInfo

from acclimate.config.groups import did_you_mean
from acclimate.config.signatures import alternatives, describe_range, is_in_range, is_representable, item_hint, items, matches


def describe_mismatch(path: str, value: Any, hint: Any) -> str:
    """What is wrong with a value that does not match its annotation."""
    items = [typing.get_args(sequence)[0] for sequence in _alternatives(hint) if _is_sequence(sequence) and typing.get_args(sequence)]
    if len(items) == 1 and isinstance(value, list):
        wrong = [place for place, item in enumerate(value) if not matches(item, items[0])]
        if wrong:
            return describe_mismatch(f"{path}[{wrong[0]}]", value[wrong[0]], items[0])
    if all(_is_sequence(alternative) or alternative is type(None) for alternative in _alternatives(hint)):
        return f"{path}={show(value)} is not a list. Type '{path}=[{show(value)}]'."
    only_choices = all(typing.get_origin(alternative) is Literal or alternative is type(None) for alternative in _alternatives(hint))
    choices = [choice for choice in _choices(hint) if choice is not None and (only_choices or type(choice) is type(value))]
    if choices:
        suggestion = did_you_mean(str(value), [str(choice) for choice in choices])
        allowed = ", ".join(dict.fromkeys(map(show, choices)))
        return f"{path}={show(value)} is not allowed.{suggestion} Choose one of {allowed}.{_advice(hint)}"
    return f"{path}={show(value)} is {_describe(type(value))}, but must be {_describe(hint)}."


def describe_out_of_range(path: str, value: Any, hint: Any) -> str:
    """What is wrong with a value that matches its annotation, but not its ranges."""
    if not is_representable(value):
        return f"{path} must be a finite number{' of at most 64 bits' if isinstance(value, int) else ''}, but is {value}."
    # The ranges of what the value is: 0 is no text and no list, whatever else is allowed.
    fitting = [member for one in alternatives(hint) for member in [one, *alternatives(_bare(one))] if matches(value, member)]
    for key, item in items(value).items():
        for member in fitting:
            if not is_in_range(item, inner := item_hint(value, _bare(member))):
                return describe_out_of_range(f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}", item, inner)
    ranges = {describe_range(member): _describe(member) for member in fitting if describe_range(member)}
    words = " or ".join(ranges if len(ranges) == 1 else (f"{kind} {range_}" for range_, kind in ranges.items()))
    return f"{path} must be {words}, but is {show(value)}.{_advice(hint)}"


def _advice(hint: Any) -> str:
    notes = [note for one in (hint, *alternatives(hint)) for note in getattr(one, "__metadata__", ()) if isinstance(note, DocInfo)]
    return f" {notes[0].documentation}" if notes else ""


def show(value: Any) -> str:
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
        return " or ".join(map(show, typing.get_args(hint)))
    if len(_alternatives(hint)) > 1:
        return " or ".join(dict.fromkeys(_describe(argument) for argument in _alternatives(hint)))
    if _is_sequence(hint):
        return "a list"
    if inspect.isclass(typing.get_origin(hint) or hint) and issubclass(typing.get_origin(hint) or hint, Mapping):
        return "keys with values"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint) or str(getattr(hint, "__name__", hint))
