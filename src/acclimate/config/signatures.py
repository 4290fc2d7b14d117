"""The parameters of the classes and functions that configs name, and values that fit them."""

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal


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


def parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a class or function accepts; `**keywords` stand for what the base class accepts, if that is one of ours."""
    if not inspect.isclass(target):
        return dict(inspect.signature(target).parameters)
    found: dict[str, inspect.Parameter] = {}
    builders = [ancestor for ancestor in target.__mro__ if "__init__" in vars(ancestor) and ancestor is not object]
    for number, ancestor in enumerate(builders):
        is_ours = ancestor.__module__.startswith("acclimate.")
        keywords = [name for name, parameter in found.items() if parameter.kind is parameter.VAR_KEYWORD]
        if number > 0 and not (keywords and is_ours):
            break
        own = dict(list(inspect.signature(ancestor.__init__).parameters.items())[1:])  # type: ignore[misc]
        found = own | {name: parameter for name, parameter in found.items() if name not in keywords}
    return found


def type_hints(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of what `parameters` finds, as far as they can be resolved."""
    hints: dict[str, Any] = {}
    for owner in reversed(target.__mro__) if inspect.isclass(target) else [target]:
        try:
            hints |= typing.get_type_hints(owner.__init__ if inspect.isclass(owner) else owner)
        except (NameError, TypeError, AttributeError):
            continue
    return hints


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
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return any(matches(value, argument) for argument in arguments)
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
        if isinstance(value, bool | int | float | str):
            return isinstance(value, container)
    return True
