"""Duration and throughput of training."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from acclimate.types import DomainBatch


class Throughput(Callback):
    """Callback that counts inputs and seconds of training; a resumed run continues the counts.

    Args:
        warms_up: Whether to count the first step of each start separately, because it waits for a compiler.

    Attributes:
        seconds: Seconds until the last step, without validations and the warm-up, but with the features of a frozen backbone and the
            pictures before the first step.
        samples: Number of inputs of both domains in these steps on this device.
        warm_up_seconds: Seconds of the first steps.
    """

    def __init__(self, *, warms_up: bool = False) -> None:
        self.warms_up = warms_up
        self.seconds = 0.0
        self.samples = 0
        self.warm_up_seconds = 0.0
        self._since = 0.0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: DomainBatch, batch_idx: int
    ) -> None:
        if self.warms_up:
            self.warms_up = False
            self.warm_up_seconds += self._passed()
            return
        self.samples += batch.source.num_inputs + (batch.target.num_inputs if batch.target else 0)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self.seconds += self._passed()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seconds += self._passed()

    def _passed(self) -> float:
        """Return the seconds since the last call."""
        since, self._since = self._since, time.perf_counter()
        return self._since - since

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "samples": self.samples, "warm_up_seconds": self.warm_up_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.samples = state_dict["seconds"], state_dict["samples"]
        self.warm_up_seconds = state_dict["warm_up_seconds"]
