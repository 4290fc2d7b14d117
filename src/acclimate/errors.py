"""Exceptions for mistakes of the user. The command line prints their messages without a traceback and exits with 2.

A message names the key or file, what was found, what is allowed and what to type.
"""

import shlex
import signal


class UserError(Exception):
    """A mistake that the user can correct; a message of several lines has one argument per line."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class ConfigError(UserError):
    """An invalid key or value of the configuration."""


class DataError(UserError):
    """Files that are not what a data set needs."""


class BadInputError(DataError):
    """An input that cannot be read, although others may be.

    Args:
        message: The whole message.
        name: Name of the input.
        problem: The end of a sentence that begins with the name.
    """

    def __init__(self, message: str, name: str = "", problem: str = "") -> None:
        # Processes that pass it on rebuild it from the message.
        super().__init__(message)
        self.name = name
        self.problem = problem


def more_bad_files(number: int) -> str:
    """Return the end of a message about a bad file that counts the others, or an empty string."""
    return "" if not number else f" ({number} more file{' is' if number == 1 else 's are'} bad.)"


class StorageError(UserError):
    """A file that cannot be written, because of a full disk, an exhausted quota or missing permissions."""


class DivergenceError(UserError):
    """Losses, gradients, weights or predictions of a run that are not finite."""


class NotFiniteError(ValueError):
    """Numbers that are not finite in a computation that needs finite ones; in training, this counts as a NaN loss."""


class Pruned(Exception):  # noqa: N818 (it is not an error)
    """The end of a run by the pruner of a search, before its training was over; the message says when, and why."""


class Interrupted(BaseException):
    """A signal that stopped the command.

    It is not an `Exception`, because a sweep continues after a job that failed, but not after one that was stopped.

    Args:
        number: The signal.
        message: The state that was reached, and the command that continues from it.
    """

    def __init__(self, number: signal.Signals, message: str | None = None) -> None:
        super().__init__(number, message)
        self.number = number
        self.message = message or f"Stopped by {number.name}."

    @property
    def exit_code(self) -> int:
        """Conventional exit code of a process that was ended by a signal: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number

    def __str__(self) -> str:
        return self.message


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message without the mark at its end, or the name of its class if it has no message.

    >>> first_line(ValueError("Wrong shape.\nExpected (N, D).")), first_line(TimeoutError())
    ('Wrong shape', 'TimeoutError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".!")


def command(*words: str) -> str:
    """Return a command of acclimate as typed in a shell.

    >>> command("train", "resume=my run")
    "acclimate train 'resume=my run'"
    """
    return f"acclimate {shlex.join(words)}"
