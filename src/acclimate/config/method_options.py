"""The options in the node `method`, and the needs of a method before it is built."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from acclimate.config.components import OPTIONS
from acclimate.config.instantiate import locate
from acclimate.config.signatures import made_by, parameters
from acclimate.types import Needs

MAKE_EXTRAS = OPTIONS["method"]


class MethodOptions(NamedTuple):
    """The divided node `method`.

    Attributes:
        needs: Needs declared by the class of the method; for a function, by the class that it is annotated to return.
        own: Node of the class itself.
        extras: Node of the extras, the options of any method.
    """

    needs: Needs
    own: dict[str, Any]
    extras: dict[str, Any]


def divide_options(method: Mapping[str, Any]) -> MethodOptions:
    """Read the needs of a method, and divide its options.

    A key that the class itself accepts belongs to the class, even if an extra has the same name.
    """
    target = locate(method["_target_"])
    needs: Needs = getattr(made_by(target), "needs", Needs())
    extras = {"extras", *(parameters(locate(MAKE_EXTRAS)).keys() - parameters(target).keys())}
    return MethodOptions(
        needs,
        {key: value for key, value in method.items() if key not in extras},
        {"_target_": MAKE_EXTRAS, **{key: value for key, value in method.items() if key in extras}},
    )


def declared_needs(method: Mapping[str, Any]) -> Needs:
    """Return the needs that the class of a method declares, without building it."""
    return divide_options(method).needs
