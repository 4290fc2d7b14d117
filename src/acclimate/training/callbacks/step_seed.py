"""Random numbers of a training step, such as dropout, as a function of the run's seed and the step."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from acclimate.seeds import seed_for


class StepSeed(Callback):
    """Callback that seeds torch before every training batch, so that a resumed run equals an uninterrupted one.

    Args:
        seed: The seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        seed = seed_for(self.seed, "step", pl_module.batches_done, trainer.global_rank)
        # torch.manual_seed would also record a stack trace for every kind of device that is not yet in use.
        torch.default_generator.manual_seed(seed)
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).manual_seed(seed)
