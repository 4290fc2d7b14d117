"""Safe output of text from files, such as file names, to terminals, logs and spreadsheets."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acclimate.errors import UserError

# Characters that start a formula in spreadsheets, including full-width forms, and the apostrophe that marks text.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
TEXT = "'"


def printable(text: object) -> str:
    r"""Escape control characters, line breaks, changes of direction and undecodable bytes.

    >>> printable("red\x1b[31m"), printable("a\nb"), printable("caf\u00e9 \u202egnp.exe")
    ('red\\x1b[31m', 'a\\nb', 'café \\u202egnp.exe')
    """
    return "".join(character if character.isprintable() else escape(character) for character in str(text))


def printable_lines(text: str) -> str:
    """Escape a message as `printable` does, but keep its line breaks."""
    return "\n".join(map(printable, text.split("\n")))


def printable_values(node: Any) -> Any:
    r"""Escape all text in nested mappings and lists as `printable` does.

    >>> printable_values({"data": {"source": "K\udce4fer"}, "seed": 0})
    {'data': {'source': 'K\\udce4fer'}, 'seed': 0}
    """
    if isinstance(node, Mapping):
        return {key: printable_values(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [printable_values(value) for value in node]
    return printable(node) if isinstance(node, str) else node


def printable_error(error: BaseException) -> str:
    """Return the message of an error, in which line breaks occur only between its arguments."""
    return "\n".join(map(printable, error.args)) if isinstance(error, UserError) else printable(error)


def csv_cell(text: str) -> str:
    r"""Escape text so that it is on one line and no spreadsheet interprets it as a formula.

    Text that starts like a formula or with an apostrophe gets a leading apostrophe; characters that are not printable, and
    backslashes, become Python escapes. To recover the text, remove the leading apostrophe and decode the escapes. Most
    names are unchanged.

    >>> csv_cell("cat/1.jpg"), csv_cell("=cmd|x"), csv_cell("'a"), csv_cell("a\nb")
    ('cat/1.jpg', "'=cmd|x", "''a", 'a\\nb')
    """
    escaped = printable(text.replace("\\", "\\\\"))
    return TEXT + escaped if escaped.startswith((*FORMULA, TEXT)) else escaped


class PrintableRecord(logging.LogRecord):
    """A log record whose arguments are escaped, so that they have no line breaks and cannot control the terminal."""

    def getMessage(self) -> str:  # noqa: N802, the name in logging
        message = str(self.msg)
        if isinstance(self.args, tuple) and self.args:
            message %= tuple(map(_argument, self.args))
        elif self.args:
            message = super().getMessage()
        return printable_lines(message)


def _argument(value: object) -> object:
    if isinstance(value, BaseException):
        return printable_error(value)
    return printable(value) if isinstance(value, str | Path) else value


def escape(character: str) -> str:
    """Return the Python escape of a character."""
    return character.encode("unicode_escape").decode("ascii")
