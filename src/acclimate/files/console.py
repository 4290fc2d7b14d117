"""Log messages on the console."""

import logging


class ConsoleFormatter(logging.Formatter):
    """Formatter that shows only messages, preceded by the level of warnings and errors.

    >>> record = logging.LogRecord("acclimate", logging.WARNING, "", 0, "The target is small.", None, None)
    >>> ConsoleFormatter().format(record)
    'Warning: The target is small.'
    """

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.capitalize()}: {text}"
