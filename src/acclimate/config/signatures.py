"""The parameters of the classes and functions that configs name."""

import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from acclimate.config.foreign import limits
from acclimate.config.instantiate import locate


class TargetError(Exception):
    """A `_target_` names nothing that can be built; the message goes on from its name."""


class Signature(NamedTuple):
    """What a class or function accepts.

    Attributes:
        name: Its own, without the module.
        parameters: By name; their annotations are types that have been resolved as far as possible, and narrowed by `limits`.
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
    hints = type_hints(target) | limits(name)
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
