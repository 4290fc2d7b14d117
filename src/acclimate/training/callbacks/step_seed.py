"""Makes what is random in a training step, such as dropout, a function of the run's seed and the step."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from acclimate.seeds import seed_for


class StepSeed(Callback):
    """Seeds torch before every training batch, so a resumed run draws what the uninterrupted one would have drawn.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        seed = seed_for(self.seed, "step", pl_module.batches_done, trainer.global_rank)
        # torch.manual_seed also leaves a note, with a stack trace, for every kind of device that is not in use yet.
        torch.default_generator.manual_seed(seed)
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).manual_seed(seed)
