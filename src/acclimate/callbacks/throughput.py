"""How long the training took and how many images it saw."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from acclimate.types import DomainBatch


class Throughput(Callback):
    """Counts images and seconds of training; a resumed run adds to what it had.

    Attributes:
        seconds: From the first step to the last, without validations.
        samples: Images of both domains that went into steps on this device.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.samples = 0
        self._since = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: DomainBatch, batch_idx: int
    ) -> None:
        self.samples += len(batch.source.images) + (len(batch.target.views[0]) if batch.target else 0)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._count()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._count()

    def _count(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "samples": self.samples}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.samples = state_dict["seconds"], state_dict["samples"]
