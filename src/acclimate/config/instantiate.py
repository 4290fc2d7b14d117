"""Construction of objects from nodes of the configuration."""

import copy
import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from acclimate.errors import ConfigError

RESERVED_KEYS = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}


def instantiate(node: Mapping[str, Any], **provided: Any) -> Any:
    """Build the object of a node, after the objects in its values.

    The keys have the same meaning as in `hydra.utils.instantiate`, which is not used because trained models must load without
    Hydra, and because its partials look up their target at every call: schedules are called in every step.

    Args:
        node: A plain, fully resolved node with the name of a class or function as `_target_`.
        **provided: Additional arguments of the target.

    Returns:
        The result of the target, or with `_partial_: true` a `functools.partial` of it.

    Raises:
        ConfigError: If there is no such target or it rejects a value.

    >>> instantiate({"_target_": "fractions.Fraction", "_args_": [{"_target_": "builtins.int", "_args_": ["6"]}]}, denominator=4)
    Fraction(3, 2)
    """
    try:
        call = _prepare(node)
        return partial(call, **provided) if node.get("_partial_") else call(**provided)
    except ModuleNotFoundError as error:
        if error.name is None:
            # An error of Lightning, which says what to install.
            raise ConfigError(f"{node['_target_']} cannot be built: {error}") from error
        package = error.name.partition(".")[0]
        raise ConfigError(f"{node['_target_']} needs the package {package}, which is not installed: pip install {package}.") from error
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"{node['_target_']} cannot be built: {error}") from error


class Component:
    """A part of a configuration that is built by a call, with the arguments that other parts provide.

    Args:
        node: As for `instantiate`.
    """

    def __init__(self, node: Mapping[str, Any]) -> None:
        self.node = node

    def __call__(self, **provided: Any) -> Any:
        """Build the object; see `instantiate`."""
        return instantiate(self.node, **provided)


def _prepare(node: Mapping[str, Any]) -> "partial[Any]":
    """Return a partial of the target with the arguments of its node."""
    name = node["_target_"]
    try:
        target = locate(name)
    except AttributeError as error:
        raise ConfigError(f"There is no {name}. Correct its _target_.") from error
    build = _build if node.get("_recursive_", True) else copy.deepcopy
    arguments = {key: build(value) for key, value in node.items() if key not in RESERVED_KEYS}
    return partial(target, *map(build, node.get("_args_", ())), **arguments)


def _build(value: Any) -> Any:
    """Build all objects in nested containers."""
    if isinstance(value, list | tuple):
        return [_build(element) for element in value]
    if not isinstance(value, Mapping):
        return value
    if "_target_" not in value:
        return {key: _build(element) for key, element in value.items()}
    call = _prepare(value)
    return call if value.get("_partial_") else call()


def locate(name: str) -> Callable[..., Any]:
    """Return the class or function that a `_target_` names.

    Raises:
        ImportError: If its module does not exist.
        AttributeError: If the module has no such attribute.
    """
    module, _, attribute = name.rpartition(".")
    if not module:
        raise ImportError(f"{name} contains no module")
    target: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return target
