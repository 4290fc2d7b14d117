"""What to say when a run finds no space to write to."""

import errno
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acclimate.errors import StorageError

# No space on the device, a quota that is used up, and a limit on the size of files.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def name_full_disk(folder: Path) -> Iterator[None]:
    """Turn errors about a full disk into one message, also those of loggers and of threads in the background.

    Args:
        folder: Where a file is if the error does not name one.

    Raises:
        StorageError: In the place of an `OSError` that says that the disk is full.
    """
    excepthook, raises = threading.excepthook, logging.raiseExceptions

    def ignore_full_disk(failure: threading.ExceptHookArgs) -> None:
        # TensorBoard's writer raises the error of its thread again when it is next called.
        if not is_full(failure.exc_value):
            excepthook(failure)

    threading.excepthook = ignore_full_disk
    # Otherwise train.log prints a traceback for every line that it cannot write.
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
    """Whether something could not be written because the disk is full."""
    return isinstance(error, OSError) and error.errno in FULL


def explain(error: OSError, path: Path) -> str:
    """Return a message about a file or folder that cannot be written, with the place that the user has to look at."""
    reason = error.strerror or str(error)
    if path.is_dir() and is_full(error):
        return f"{path} is full ({reason}). Make space there."
    if is_full(error):
        return f"{path} cannot be written: {path.parent} is full ({reason}). Make space there."
    return f"{path} cannot be written: {reason}. Check the permissions of {path.parent}."
