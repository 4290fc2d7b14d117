"""Settings that Lightning refuses, as a user's mistake."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_fabric.utilities.exceptions import MisconfigurationException

from acclimate.errors import ConfigError


@contextmanager
def explain_misconfiguration() -> Iterator[None]:
    """Turn what Lightning refuses into a user's mistake.

    Raises:
        ConfigError: If Lightning refuses a setting inside.
    """
    try:
        yield
    except MisconfigurationException as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(f"Lightning refuses the configuration: {reason}. Change the keys of trainer or callbacks.") from error
