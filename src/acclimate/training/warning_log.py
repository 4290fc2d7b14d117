"""The warnings of a run, for its dashboard."""

import logging
from types import TracebackType
from typing import Self


class WarningLog(logging.Handler):
    """Context manager that keeps the warnings of the package.

    Attributes:
        messages: The warnings so far, in order.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self.messages.append(record.getMessage())

    def __enter__(self) -> Self:
        logging.getLogger("acclimate").addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        logging.getLogger("acclimate").removeHandler(self)
