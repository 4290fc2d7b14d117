"""What the run reads of the node `method` before it builds anything."""

from collections.abc import Mapping
from typing import Any

from acclimate.config.components import OPTIONS
from acclimate.config.instantiate import locate
from acclimate.config.signatures import made_by, parameters
from acclimate.types import Needs

MAKE_EXTRAS = OPTIONS["method"]


def declared_needs(method: Mapping[str, Any]) -> Needs:
    """Return what the class of a method declares, before anything is built; a function declares what its annotated class does."""
    needs: Needs = getattr(made_by(locate(method["_target_"])), "needs", Needs())
    return needs


def divide_keys(method: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide the node into one for the class of the method and one for its extras, the options of any method.

    A key that the class itself takes belongs to the class, whatever the options are called.
    """
    options = {"extras", *(parameters(locate(MAKE_EXTRAS)).keys() - parameters(locate(method["_target_"])).keys())}
    own = {key: value for key, value in method.items() if key not in options}
    return own, {"_target_": MAKE_EXTRAS, **{key: value for key, value in method.items() if key in options}}
