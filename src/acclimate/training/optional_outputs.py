"""Outputs that a run can do without, such as pictures, tables and curves: an error in one is logged, and the run goes on."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.loggers.logger import DummyLogger

from acclimate.errors import StorageError
from acclimate.files.full_disk import is_full

log = logging.getLogger(__name__)

LOGGER_METHODS = ("log_hyperparams", "log_metrics", "log_graph", "save", "after_save_checkpoint", "finalize")


@contextmanager
def optional_output(what: str) -> Iterator[None]:
    """Context manager, and decorator of functions without results, that logs an error instead of raising it.

    A full disk is an error all the same, because a run can be continued when there is space again.

    Args:
        what: The output, for the message.
    """
    try:
        yield
    except Exception as error:
        if is_full(error) or (isinstance(error, StorageError) and is_full(error.__cause__)):
            raise
        log.warning("The run goes on without %s: %s: %s", what, type(error).__name__, error)
        log.debug("", exc_info=True)


def make_loggers_optional(trainer: pl.Trainer) -> None:
    """Make all outputs of a trainer's loggers optional; only the first error of each of their methods is logged."""
    trainer.loggers = [logger if _can_write(logger) else DummyLogger() for logger in trainer.loggers]
    for logger in trainer.loggers:
        for name in LOGGER_METHODS:
            setattr(logger, name, _tried(getattr(logger, name), f"the output of {type(logger).__name__}.{name}"))


def _can_write(logger: Logger) -> bool:
    """Return False, and log it, for TensorBoard in a folder whose name is not UTF-8."""
    if isinstance(logger, TensorBoardLogger):
        try:
            logger.log_dir.encode()
        except UnicodeEncodeError:
            log.warning("The run goes on without TensorBoard, which cannot write to %s, because this name is not UTF-8.", logger.log_dir)
            return False
    return True


def _tried(method: Callable[..., None], what: str) -> Callable[..., None]:
    has_failed = False

    @wraps(method)
    def call(*arguments: Any, **keywords: Any) -> None:
        nonlocal has_failed
        try:
            method(*arguments, **keywords)
        except Exception:
            if not has_failed:
                has_failed = True
                with optional_output(what):
                    raise

    return call
