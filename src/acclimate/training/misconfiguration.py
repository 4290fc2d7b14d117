"""Settings that Lightning rejects."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_fabric.utilities.exceptions import MisconfigurationException

from acclimate.errors import ConfigError


@contextmanager
def explain_misconfiguration() -> Iterator[None]:
    """Context manager that reports settings rejected by Lightning as mistakes of the user.

    Raises:
        ConfigError: If Lightning rejects a setting.
    """
    try:
        yield
    except MisconfigurationException as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(f"Lightning rejects the configuration: {reason}. Change the keys of trainer or callbacks.") from error
