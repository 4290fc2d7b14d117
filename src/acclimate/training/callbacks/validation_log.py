"""The log of validations: one line for each, in the console and in train.log."""

import logging
import sys

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from acclimate.training.progress import Progress

log = logging.getLogger(__name__)


class ValidationLog(Callback):
    """Callback that logs the step, the numbers that matter, the speed and the time left, and all metrics for train.log."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._progress = Progress(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and trainer.is_global_zero and self._progress is not None:
            progress = self._progress
            # The progress bar, which only terminals have, shows the pace.
            pace = [] if sys.stderr.isatty() else progress.pace()
            log.info("step %d/%d: %s", progress.step, progress.total, ", ".join([*progress.numbers(), *pace]))
            if log.isEnabledFor(logging.DEBUG):
                metrics = trainer.callback_metrics
                log.debug("step %d: %s", progress.step, ", ".join(f"{name} {float(metrics[name]):.6g}" for name in sorted(metrics)))
