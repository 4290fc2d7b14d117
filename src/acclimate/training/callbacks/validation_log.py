"""The log of validations: one line for each in train.log."""

import logging

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

log = logging.getLogger(__name__)

SHOWN = ("selection/", "source/", "target/", "loss/")


class ValidationLog(Callback):
    """Callback that logs the step and the most important metrics."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and trainer.is_global_zero:
            metrics = trainer.callback_metrics
            numbers = [f"{name} {float(metrics[name]):.4f}" for name in sorted(metrics) if name.startswith(SHOWN)]
            log.info("step %d: %s", trainer.global_step, ", ".join(numbers))
