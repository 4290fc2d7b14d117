"""Signatures of targets, the classes and functions in a configuration."""

import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from acclimate.config.foreign import limits
from acclimate.config.instantiate import locate


class TargetError(Exception):
    """A `_target_` that cannot be built; the message continues after its name."""


class Signature(NamedTuple):
    """Signature of a class or function.

    Attributes:
        name: Name without the module.
        parameters: Parameters by name; annotations are resolved as far as possible, and narrowed by `limits`.
        target: The class or function; None if it has not been imported.
    """

    name: str
    parameters: dict[str, inspect.Parameter]
    target: Callable[..., Any] | None


def signature_of(name: str) -> Signature:
    """Import a target and return its signature.

    Raises:
        TargetError: If it cannot be imported, or is neither a class nor a function.
    """
    try:
        target = locate(name)
    except ModuleNotFoundError as error:
        own = error.name == name.partition(".")[0]
        advice = ". If it is your own, type PYTHONPATH=DIR before the command, with the folder that contains it" if own else ""
        raise TargetError(f"cannot be imported: {error}{advice}") from error
    except Exception as error:
        # A module of the user may raise anything.
        raise TargetError(f"cannot be imported: {error}") from error
    if not callable(target):
        raise TargetError("is neither a class nor a function")
    hints = type_hints(target) | limits(name)
    resolved = {key: one.replace(annotation=hints.get(key, Any)) for key, one in parameters(target).items()}
    return Signature(getattr(target, "__name__", str(target)), resolved, target)


def parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class or function; `**keywords` are replaced by those of a base class of this package."""
    if not inspect.isclass(target):
        return dict(inspect.signature(target).parameters)
    builders = [ancestor for ancestor in target.__mro__ if "__init__" in vars(ancestor) and ancestor is not object]
    return merge_keywords(
        (one.__module__.startswith("acclimate."), list(inspect.signature(one.__init__).parameters.values())[1:])  # type: ignore[misc]
        for one in builders
    )


def merge_keywords(builders: Iterable[tuple[bool, list[inspect.Parameter]]]) -> dict[str, inspect.Parameter]:
    """Replace `**keywords` by the parameters of a base class of this package.

    Args:
        builders: For a class and its base classes with a constructor, in the order of method resolution: whether the class
            belongs to this package, and the parameters of its constructor.
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
    """Return the annotations of `parameters`, resolved as far as possible."""
    hints: dict[str, Any] = {}
    for owner in reversed(target.__mro__) if inspect.isclass(target) else [target]:
        try:
            hints |= typing.get_type_hints(owner.__init__ if inspect.isclass(owner) else owner, include_extras=True)
        except (NameError, TypeError, AttributeError):
            continue
    return hints


def made_by(target: Callable[..., Any]) -> Any:
    """Return the class of the objects that a class or function creates; None if a function has no annotation."""
    return target if inspect.isclass(target) else type_hints(target).get("return")
