"""Messages about full disks and files that cannot be written."""

import errno
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acclimate.errors import StorageError

# No space on the device, an exhausted quota, and a limit on the size of files.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def name_full_disk(folder: Path) -> Iterator[None]:
    """Context manager that turns errors about a full disk into one message, including those of loggers and threads.

    Args:
        folder: The folder to name if the error names no file.

    Raises:
        StorageError: Instead of an `OSError` about a full disk.
    """
    excepthook, raises = threading.excepthook, logging.raiseExceptions

    def ignore_full_disk(failure: threading.ExceptHookArgs) -> None:
        # TensorBoard's writer raises the error of its thread again at the next call.
        if not is_full(failure.exc_value):
            excepthook(failure)

    threading.excepthook = ignore_full_disk
    # Otherwise logging prints a traceback for every line that it cannot write to train.log.
    logging.raiseExceptions = False
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise StorageError(explain(error, Path(error.filename) if error.filename else folder)) from error
    finally:
        threading.excepthook, logging.raiseExceptions = excepthook, raises


def is_full(error: BaseException | None) -> bool:
    """Return True if an error means that the disk is full."""
    return isinstance(error, OSError) and error.errno in FULL


def explain(error: OSError, path: Path) -> str:
    """Return a message about a file or folder that cannot be written, which names the place to check."""
    reason = error.strerror or str(error)
    if path.is_dir() and is_full(error):
        return f"{path} is full ({reason}). Make space there."
    if is_full(error):
        return f"{path} cannot be written: {path.parent} is full ({reason}). Make space there."
    return f"{path} cannot be written: {reason}. Check the permissions of {path.parent}."
