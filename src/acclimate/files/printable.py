"""Names from files and folders, which may hold any character, in the terminal, in logs and in tables for spreadsheets."""

import logging
from pathlib import Path

from acclimate.errors import UserError

# What spreadsheets take for the beginning of a formula, and the sign that says that it is none.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
TEXT = "'"


def printable(text: object) -> str:
    r"""Text whose control characters, line breaks, changes of direction and undecodable bytes are written as escapes.

    >>> printable("red\x1b[31m"), printable("a\nb"), printable("caf\u00e9 \u202egnp.exe")
    ('red\\x1b[31m', 'a\\nb', 'café \\u202egnp.exe')
    """
    return "".join(character if character.isprintable() else _escape(character) for character in str(text))


def printable_lines(text: str) -> str:
    """The same with the line breaks of a message of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def describe(error: BaseException) -> str:
    """The message of an error, in which only the lines that it was given end in line breaks."""
    return "\n".join(map(printable, error.args)) if isinstance(error, UserError) else printable(error)


def csv_cell(text: str) -> str:
    r"""Text that no spreadsheet takes for a formula and that is on one line.

    An apostrophe goes before a text that begins with a sign of a formula or with an apostrophe; characters that cannot be
    printed, and backslashes, become escapes of Python. So a name is had back by leaving out the first apostrophe and reading
    the escapes, and a usual name stays as it is.

    >>> csv_cell("cat/1.jpg"), csv_cell("=cmd|x"), csv_cell("'a"), csv_cell("a\nb")
    ('cat/1.jpg', "'=cmd|x", "''a", 'a\\nb')
    """
    escaped = printable(text.replace("\\", "\\\\"))
    return TEXT + escaped if escaped.startswith((*FORMULA, TEXT)) else escaped


class PrintableRecord(logging.LogRecord):
    """A log record whose arguments are on one line each, and in which nothing is a command to the terminal."""

    def getMessage(self) -> str:  # noqa: N802, the name of logging
        message = str(self.msg)
        if isinstance(self.args, tuple) and self.args:
            message %= tuple(map(_argument, self.args))
        elif self.args:
            message = super().getMessage()
        return printable_lines(message)


def _argument(value: object) -> object:
    if isinstance(value, BaseException):
        return describe(value)
    return printable(value) if isinstance(value, str | Path) else value


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
