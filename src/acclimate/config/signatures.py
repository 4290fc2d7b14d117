"""The parameters of the classes and functions that configs name, and values that fit them."""

import importlib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt, Le, Len, Lt


def locate(name: str) -> Callable[..., Any]:
    """The class or function that a `_target_` names.

    Raises:
        ImportError: If its module does not exist.
        AttributeError: If the module has no such thing.
    """
    module, _, attribute = name.rpartition(".")
    if not module:
        raise ImportError(f"{name} has no module in front of it")
    target: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return target


class TargetError(Exception):
    """A `_target_` names nothing that can be built; the message goes on from its name."""


class Signature(NamedTuple):
    """What a class or function accepts.

    Attributes:
        name: Its own, without the module.
        parameters: By name; their annotations are types that have been resolved as far as possible.
        target: The class or function; None if it has not been imported.
    """

    name: str
    parameters: dict[str, inspect.Parameter]
    target: Callable[..., Any] | None


def signature_of(name: str) -> Signature:
    """Import what a `_target_` names, and look at its signature.

    Raises:
        TargetError: If it cannot be imported, or is neither a class nor a function.
    """
    try:
        target = locate(name)
    except Exception as error:
        # Whatever a module of the user's own raises.
        raise TargetError(f"cannot be imported: {error}") from error
    if not callable(target):
        raise TargetError("is neither a class nor a function")
    hints = type_hints(target)
    resolved = {key: one.replace(annotation=hints.get(key, Any)) for key, one in parameters(target).items()}
    return Signature(getattr(target, "__name__", str(target)), resolved, target)


def parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a class or function accepts; `**keywords` stand for what the base class accepts, if that is one of ours."""
    if not inspect.isclass(target):
        return dict(inspect.signature(target).parameters)
    builders = [ancestor for ancestor in target.__mro__ if "__init__" in vars(ancestor) and ancestor is not object]
    return merge_keywords(
        (one.__module__.startswith("acclimate."), list(inspect.signature(one.__init__).parameters.values())[1:])  # type: ignore[misc]
        for one in builders
    )


def merge_keywords(builders: Iterable[tuple[bool, list[inspect.Parameter]]]) -> dict[str, inspect.Parameter]:
    """Put what a base class of ours accepts in the place of `**keywords`.

    Args:
        builders: For a class and those it derives from, as far as they have constructors, in the order in which Python looks
            for them: whether the class is one of ours, and the parameters of its constructor.
    """
    found: dict[str, inspect.Parameter] = {}
    keywords: list[str] = []
    for number, (is_ours, own) in enumerate(builders):
        if number > 0 and not is_ours:
            break
        found = {one.name: one for one in own} | {name: one for name, one in found.items() if name not in keywords}
        keywords = [name for name, one in found.items() if one.kind is one.VAR_KEYWORD]
        if not keywords:
            break
    return found


def type_hints(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of what `parameters` finds, as far as they can be resolved."""
    hints: dict[str, Any] = {}
    for owner in reversed(target.__mro__) if inspect.isclass(target) else [target]:
        try:
            hints |= typing.get_type_hints(owner.__init__ if inspect.isclass(owner) else owner, include_extras=True)
        except (NameError, TypeError, AttributeError):
            continue
    return hints


def made_by(target: Callable[..., Any]) -> Any:
    """Return the class that a class or function makes an instance of; None if a function does not say."""
    return target if inspect.isclass(target) else type_hints(target).get("return")


def alternatives(hint: Any) -> list[Any]:
    """The members of a union, or the annotation itself.

    >>> alternatives(int | None)
    [<class 'int'>, <class 'NoneType'>]
    """
    return list(typing.get_args(hint)) if typing.get_origin(hint) in (typing.Union, types.UnionType) else [hint]


def matches(value: Any, hint: Any) -> bool:
    """Whether a plain value from a configuration can be meant by a type annotation; in doubt, it can.

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
            # Nodes are checked by themselves, against the signature of what they name.
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
    """Whether a value that matches a type annotation is within its ranges, and all of its numbers are finite.

    >>> is_in_range(0.5, Annotated[float, Ge(0), Lt(1)]), is_in_range(1, Annotated[float, Ge(0), Lt(1)] | None)
    (True, False)
    >>> is_in_range([1.0, math.inf], list[float]), is_in_range([], Annotated[list[int], Len(1)])
    (False, False)
    """
    arguments = typing.get_args(hint)
    if not is_representable(value):
        return False
    if typing.get_origin(hint) is Annotated:
        return is_in_range(value, arguments[0]) and all(_satisfies(value, limit) for limit in hint.__metadata__)
    if len(members := alternatives(hint)) > 1:
        return any(matches(value, member) and is_in_range(value, member) for member in members)
    return all(is_in_range(item, item_hint(value, hint)) for item in items(value).values())


def is_representable(value: Any) -> bool:
    """Whether a number is finite and has at most 64 bits; other values are."""
    return not (isinstance(value, float) and not math.isfinite(value)) and not (isinstance(value, int) and abs(value) >= 2**63)


def items(value: Any) -> dict[Any, Any]:
    """The entries of a list by their places, or of a mapping by their keys; nodes are values of their own."""
    if isinstance(value, Mapping):
        return {} if "_target_" in value else dict(value)
    return dict(enumerate(value)) if isinstance(value, list) else {}


def item_hint(value: Any, hint: Any) -> Any:
    """The annotation of the entries of a list or a mapping."""
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


def describe_range(hint: Any) -> str:
    """The limits of an annotation in words.

    >>> describe_range(Annotated[float, Ge(0), Lt(1)])
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
