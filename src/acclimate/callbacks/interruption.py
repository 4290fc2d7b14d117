"""Lets Ctrl-C and a cluster's SIGTERM end a run between two steps, with everything saved."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn

from acclimate.errors import Interrupted


class Interruption(Checkpoint):
    """Saves `last.ckpt` after the step in which a signal arrives and then stops; a second signal stops at once.

    A `Checkpoint`, so that Lightning calls it after all other callbacks, whose state it saves.

    Args:
        checkpoint: Where to save: checkpoints/last.ckpt in the run's folder.

    Raises:
        Interrupted: When it has saved.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = Path(checkpoint)
        self.requested = False
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
        if not loop.epoch_loop._should_check_val_fx(loop._data_fetcher):
            self._stop_within_epoch(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._stop_within_epoch(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.requested:
            self._save_and_stop(trainer)

    def _stop_within_epoch(self, trainer: pl.Trainer) -> None:
        # Gradients that wait for further batches are in no checkpoint, and other callbacks act at the end of an epoch.
        ends_epoch = trainer.is_last_batch or trainer.should_stop
        if self.requested and not ends_epoch and not trainer.fit_loop._should_accumulate():
            self._save_and_stop(trainer)

    # Lightning forgets that a callback asked it to stop.
    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["should_stop"] = trainer.should_stop

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        trainer.should_stop = checkpoint["should_stop"]

    def _save_and_stop(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.checkpoint)
        folder = self.checkpoint.parent.parent
        raise Interrupted(f"Stopped after step {trainer.global_step}. Continue with: acclimate train resume={folder}")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
