"""From a node of the configuration to the object that it describes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from lightning_fabric.utilities.exceptions import MisconfigurationException

from acclimate.errors import ConfigError, UserError


def instantiate(node: Mapping[str, Any], **provided: Any) -> Any:
    """Builds a node with Hydra, which gets plain containers and gives them on as such.

    Raises:
        ConfigError: If what is built refuses a value.
    """
    # Provided objects go past Hydra, which would look into them for configuration.
    try:
        build_it = hydra.utils.instantiate({**node, "_partial_": True}, _convert_="all")
        # Hydra's own partial checks its target at every call, and a schedule is called in every step.
        return partial(build_it.func, *build_it.args, **build_it.keywords) if node.get("_partial_") else build_it(**provided)
    except (InstantiationException, ValueError, TypeError, ImportError, MisconfigurationException) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            package = cause.name.partition(".")[0]
            raise ConfigError(f"{node['_target_']} needs the package {package}, which is not installed: pip install {package}.") from error
        if isinstance(cause, ValueError | TypeError | ImportError | MisconfigurationException):
            raise ConfigError(f"{node['_target_']} cannot be built: {cause}") from error
        raise


@contextmanager
def explain_misconfiguration() -> Iterator[None]:
    """Turn what Lightning refuses while it runs into a user's mistake.

    Raises:
        ConfigError: If Lightning refuses a setting inside.
    """
    try:
        yield
    except MisconfigurationException as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(f"Lightning refuses the configuration: {reason}. Change the keys of trainer or callbacks.") from error
