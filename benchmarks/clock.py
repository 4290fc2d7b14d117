"""The duration of a training, measured by a callback in its configuration."""

import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class Clock(Callback):
    """Callback that measures the training from its first step to its end.

    Attributes:
        seconds: Seconds including validations, checkpoints and logging.
        without_last_validation: Seconds until the last validation begins.
    """

    seconds = 0.0
    without_last_validation = 0.0

    def __init__(self) -> None:
        self._started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            Clock.without_last_validation = time.perf_counter() - self._started

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        Clock.seconds = time.perf_counter() - self._started
