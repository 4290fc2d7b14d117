"""What the run reads of the node `method` before it builds anything."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from acclimate.config.components import OPTIONS
from acclimate.config.instantiate import locate
from acclimate.config.signatures import made_by, parameters
from acclimate.types import Needs

MAKE_EXTRAS = OPTIONS["method"]


class MethodOptions(NamedTuple):
    """The node `method`, divided.

    Attributes:
        needs: As the class of the method declares them; for a function, as the class that it is annotated to return does.
        own: The node of the class.
        extras: The node of the extras, the options of any method.
    """

    needs: Needs
    own: dict[str, Any]
    extras: dict[str, Any]


def divide_options(method: Mapping[str, Any]) -> MethodOptions:
    """Read what a method needs, and divide its options.

    A key that the class itself takes belongs to the class, whatever the options of any method are called.
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
    """Return what the class of a method declares, before anything is built."""
    return divide_options(method).needs
