"""Lets Ctrl-C and a cluster's SIGTERM end a run between two steps, with everything saved."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from acclimate.errors import Interrupted


class Interruption(Callback):
    """Saves `last.ckpt` after the step in which a signal arrives and then stops; a second signal stops at once.

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
        self._previous = {number: signal.signal(number, self._request) for number in self.SIGNALS}

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        # At the end of an epoch the validation that follows comes first: its score belongs to this step.
        if self.requested and not trainer.is_last_batch:
            self._save_and_stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.requested:
            self._save_and_stop(trainer)

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
