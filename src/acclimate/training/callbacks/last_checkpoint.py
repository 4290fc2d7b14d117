"""The checkpoint that a stopped run continues from, and a clean stop after a signal."""

import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn

from acclimate.errors import Interrupted
from acclimate.training.lightning_internals import accumulates, validates_after_step
from acclimate.training.stop_signals import StopSignals


class LastCheckpoint(Checkpoint):
    """Callback that saves `last.ckpt` after validations and epochs, and at the end of training.

    The pause between two checkpoints is at least five seconds and 20 times the duration of saving, so that saving takes at
    most a twentieth of the training.

    After a signal, it saves at the end of the current step and stops; a second signal stops at once.

    It is a `Checkpoint`, so that Lightning calls it after all other callbacks, whose state it saves.

    Args:
        path: checkpoints/last.ckpt in the run's folder.
        signals: The signals, which are deferred during training.

    Raises:
        Interrupted: If a signal arrived, after saving.
    """

    # Shortest pause between two checkpoints; an epoch on precomputed features may take less time than saving.
    SECONDS = 5.0
    # Shortest pause as a multiple of the duration of saving.
    PAUSE = 20.0

    def __init__(self, path: Path, signals: StopSignals) -> None:
        self.path = path
        self.signals = signals
        self._saved_at = time.monotonic()
        self._took = 0.0
        self._stops = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning's own handler of SIGTERM ends training without saving and with an exit code of 0.
        self.signals.install()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        # Not earlier: before the first step, the features of a frozen backbone may take long, and nothing is lost.
        self.signals.deferred = True
        self._stop_if_saved(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_saved(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        # Several devices must agree on when to stop, which takes too long to do after each step.
        if trainer.world_size > 1 and pl_module.batches_done % max(trainer.log_every_n_steps, 1) != 0:  # type: ignore[attr-defined]
            return
        # A validation that is due comes first, because its score belongs to this step.
        if self._is_stopped(trainer) and not validates_after_step(trainer) and _can_save_within_epoch(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trains = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if trains and _can_save_within_epoch(trainer) and self._is_due(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._is_due(trainer) or _training_ends(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.signals.deferred = False

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.signals.deferred = False

    def _is_stopped(self, trainer: pl.Trainer) -> bool:
        """Return True if a signal has arrived in any of the processes."""
        return trainer.strategy.reduce_boolean_decision(self.signals.received is not None, all=False)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        # Rank 0 decides, because all processes save together.
        pause = max(self.SECONDS, self.PAUSE * self._took)
        due: bool = trainer.strategy.broadcast(time.monotonic() - self._saved_at >= pause)
        return self._is_stopped(trainer) or due

    def _save(self, trainer: pl.Trainer) -> None:
        started = time.monotonic()
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()
        self._took = self._saved_at - started
        self._stops = self._is_stopped(trainer)

    def _stop_if_saved(self, trainer: pl.Trainer) -> None:
        """Stop at the beginning of the next step, so that the loggers have received the values of the last one."""
        if self._stops:
            raise Interrupted(self.signals.received or signal.SIGTERM, f"Stopped after step {trainer.global_step}.")

    # Lightning does not save that a callback asked it to stop.
    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["should_stop"] = trainer.should_stop

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        trainer.should_stop = checkpoint["should_stop"]


def _can_save_within_epoch(trainer: pl.Trainer) -> bool:
    """Return True if a checkpoint can be saved now: no gradients are being accumulated, and it is not the end of an epoch."""
    ends_epoch = trainer.is_last_batch or trainer.should_stop
    return not ends_epoch and not accumulates(trainer)


def _training_ends(trainer: pl.Trainer) -> bool:
    """Return True if the ending epoch is the last one."""
    epochs_end = trainer.max_epochs not in (None, -1) and trainer.current_epoch + 1 >= trainer.max_epochs
    steps_end = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    return trainer.should_stop or epochs_end or steps_end
