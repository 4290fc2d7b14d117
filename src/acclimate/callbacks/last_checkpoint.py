"""Keeps what a stopped run continues from, and lets Ctrl-C and a cluster's SIGTERM end a run between two steps."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn

from acclimate.errors import Interrupted


class LastCheckpoint(Checkpoint):
    """Saves `last.ckpt` after validations and epochs, once a second at most, and when the training ends.

    When a signal arrives, it saves after the step that is under way and stops; a second signal stops at once.

    A `Checkpoint`, so that Lightning calls it after all other callbacks, whose state it saves.

    Args:
        path: checkpoints/last.ckpt in the run's folder.

    Raises:
        Interrupted: When a signal arrived and it has saved.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    # Between two checkpoints; an epoch on features that are known may take less time than one of them.
    SECONDS = 1.0

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requested = False
        self._saved_at = time.monotonic()
        self._previous: dict[signal.Signals, Any] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Python delivers signals to the main thread only, and refuses handlers from others, such as a launcher's.
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._request) for number in self.SIGNALS}

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        # A validation that is due comes first: its score belongs to this step.
        loop = trainer.fit_loop
        assert loop._data_fetcher is not None
        if self.requested and not loop.epoch_loop._should_check_val_fx(loop._data_fetcher) and _can_save_within_epoch(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trains = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if trains and _can_save_within_epoch(trainer) and self._is_due(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if _training_ends(trainer) or self._is_due(trainer):
            self._save(trainer)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        # All processes save together.
        due: bool = trainer.strategy.broadcast(time.monotonic() - self._saved_at >= self.SECONDS)
        return self.requested or due

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()
        if self.requested:
            folder = self.path.parent.parent
            raise Interrupted(f"Stopped after step {trainer.global_step}. Continue with: acclimate train resume={folder}")

    # Lightning forgets that a callback asked it to stop.
    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["should_stop"] = trainer.should_stop

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        trainer.should_stop = checkpoint["should_stop"]

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def _can_save_within_epoch(trainer: pl.Trainer) -> bool:
    """Gradients that wait for further batches are in no checkpoint, and other callbacks act at the end of an epoch."""
    ends_epoch = trainer.is_last_batch or trainer.should_stop
    return not ends_epoch and not trainer.fit_loop._should_accumulate()


def _training_ends(trainer: pl.Trainer) -> bool:
    """Whether no epoch follows the one that ends."""
    epochs_end = trainer.max_epochs not in (None, -1) and trainer.current_epoch + 1 >= trainer.max_epochs
    steps_end = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    return trainer.should_stop or epochs_end or steps_end
