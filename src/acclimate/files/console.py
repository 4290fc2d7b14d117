"""Log messages on the console."""

import logging
import sys
from typing import Literal, TextIO, get_args

Verbosity = Literal["quiet", "normal", "debug"]
VERBOSITIES: tuple[Verbosity, ...] = get_args(Verbosity)
LEVELS: dict[Verbosity, int] = {"quiet": logging.WARNING, "normal": logging.INFO, "debug": logging.DEBUG}


class ConsoleFormatter(logging.Formatter):
    """Formatter that shows only messages, preceded by their level unless they are about the progress.

    >>> record = logging.LogRecord("acclimate", logging.WARNING, "", 0, "The target is small.", None, None)
    >>> ConsoleFormatter().format(record)
    'Warning: The target is small.'
    """

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno == logging.INFO else f"{record.levelname.capitalize()}: {text}"


def show_messages(verbosity: Verbosity, stream: TextIO) -> None:
    """Write the messages of this package to standard output or standard error.

    Args:
        verbosity: As for `set_verbosity`.
        stream: `sys.stdout` or `sys.stderr`.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    console = logging.StreamHandler(stream)
    console.setFormatter(ConsoleFormatter())
    root.addHandler(console)
    set_verbosity(verbosity)


def set_verbosity(verbosity: Verbosity) -> None:
    """Choose the messages of this package that the console shows, for the handlers of the root logger; log files get all.

    Args:
        verbosity: `quiet` shows warnings and errors, `normal` also the progress, `debug` everything.
    """
    logging.getLogger("acclimate").setLevel(logging.DEBUG)
    for handler in logging.getLogger().handlers:
        if getattr(handler, "stream", None) in (sys.stdout, sys.stderr):
            handler.setLevel(LEVELS[verbosity])
