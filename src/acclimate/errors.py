"""A user's mistakes. The command line prints their messages without a traceback and exits with 2.

A message names the thing, what was found, what is allowed and what to type.
"""

import shlex
import signal


class UserError(Exception):
    """Something that the user can mend; a message of several lines has an argument for each."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class ConfigError(UserError):
    """A key or a value of the configuration is wrong."""


class DataError(UserError):
    """The user's files are not what a data set needs."""


class StorageError(UserError):
    """A file cannot be written: the disk is full, a quota is used up, or a permission is missing."""


class DivergenceError(UserError):
    """Losses, gradients, weights or predictions of a run are not finite."""


class NotFiniteError(ValueError):
    """A computation that needs finite numbers was given others; in training this counts as a loss that is not finite."""


class Interrupted(BaseException):
    """A signal stopped the command.

    Not an Exception: a sweep goes on after a job that failed, but not after one that was stopped.

    Args:
        number: The signal.
        message: What was reached, and how to go on from there.
    """

    def __init__(self, number: signal.Signals, message: str | None = None) -> None:
        super().__init__(number, message)
        self.number = number
        self.message = message or f"Stopped by {number.name}."

    @property
    def exit_code(self) -> int:
        """What shells and schedulers report of a process that a signal has ended: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number

    def __str__(self) -> str:
        return self.message


def command(*words: str) -> str:
    """Return a command of acclimate as one types it.

    >>> command("train", "resume=my run")
    "acclimate train 'resume=my run'"
    """
    return f"acclimate {shlex.join(words)}"
