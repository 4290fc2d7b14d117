"""The progress bar: one line for the whole run, in terminals only, below the messages of the log."""

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TextIO

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar as Base
from tqdm import tqdm  # type: ignore[import-untyped]

from acclimate.ranges import Count
from acclimate.training.progress import Progress

# Seconds between two updates.
PAUSE = 0.2


class ProgressBar(Base):
    """Progress bar with the numbers that matter, the speed and the time left.

    It is shown only if standard error is a terminal. Messages of the log and warnings appear above it.

    Args:
        refresh_rate: Number of batches between two updates.
    """

    def __init__(self, refresh_rate: Count = 10) -> None:
        super().__init__()
        self.refresh_rate = refresh_rate
        self._is_enabled = True
        self._stack = ExitStack()
        self._bar: tqdm | None = None
        self._progress: Progress | None = None
        self._updated = 0.0

    def disable(self) -> None:
        self._is_enabled = False

    def enable(self) -> None:
        self._is_enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._progress = Progress(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._progress is not None and self._bar is None:
            self._open(self._progress.total, self._progress.step)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._is_due(batch_idx + 1):
            self._show_training()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            self._open(_total(trainer.num_val_batches))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._is_due(batch_idx + 1):
            done = _total(trainer.num_val_batches[:dataloader_idx]) + batch_idx + 1
            if trainer.state.fn == "fit":
                self._show(None, [f"validation, batch {done}/{_total(trainer.num_val_batches)}"])
            else:
                self._show(done, ["validation"])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            self._close()
        elif self._bar is not None:
            self._show_training()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._open(_total(trainer.num_test_batches))

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._is_due(batch_idx + 1):
            self._show(_total(trainer.num_test_batches[:dataloader_idx]) + batch_idx + 1, ["test"])

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._close()

    def _open(self, total: int, done: int = 0) -> None:
        self._close()
        if self._is_enabled and sys.stderr.isatty():
            self._bar = tqdm(
                total=total,
                initial=done,
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
                delay=PAUSE,
                bar_format="{n_fmt}/{total_fmt} {bar} {desc}",
            )
            self._stack.enter_context(_messages_above_bar())
            self._stack.enter_context(_warnings_above_bar())

    def _close(self) -> None:
        if self._bar is not None:
            # By itself, a bar that was hardly shown would stay.
            self._bar.clear()
            self._bar.close()
            self._bar = None
        self._stack.close()

    def _is_due(self, num_batches: int) -> bool:
        """Return True if the bar is shown and has not been updated for a while; the numbers in it wait for the device."""
        return self._bar is not None and num_batches % self.refresh_rate == 0 and time.monotonic() - self._updated > PAUSE

    def _show_training(self) -> None:
        if self._progress is not None:
            # One line of 80 characters.
            numbers = [text.replace(" accuracy", "") for text in self._progress.numbers()]
            self._show(self._progress.step, [*(text.replace(" steps", "") for text in self._progress.pace()), *numbers])

    def _show(self, done: int | None, texts: list[str]) -> None:
        assert self._bar is not None
        self._updated = time.monotonic()
        self._bar.n = self._bar.n if done is None else done
        self._bar.set_description_str(", ".join(texts))


def _total(num_batches: list[int | float]) -> int:
    """Return the number of batches of all loaders."""
    return int(sum(num_batches))


@contextmanager
def _messages_above_bar() -> Iterator[None]:
    """Context manager that prints messages of the log above progress bars."""
    handlers = [handler for handler in logging.getLogger().handlers if getattr(handler, "stream", None) in (sys.stdout, sys.stderr)]
    for handler in handlers:
        handler.emit = partial(_emit_above_bar, handler)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for handler in handlers:
            del handler.emit


def _emit_above_bar(handler: logging.Handler, record: logging.LogRecord) -> None:
    with tqdm.external_write_mode(file=handler.stream):  # type: ignore[attr-defined]
        type(handler).emit(handler, record)


@contextmanager
def _warnings_above_bar() -> Iterator[None]:
    """Context manager that prints warnings of Python above progress bars."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
    ) -> None:
        tqdm.write(warnings.formatwarning(message, category, filename, lineno, line), file=file or sys.stderr, end="")

    shown, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    finally:
        warnings.showwarning = shown
