"""A moving average of the weights, which is what is validated and kept."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from acclimate.ranges import ShareBelowOne

PREFIX = "classifier."


class WeightAverage(Callback):
    """Validation, selection and the weights of checkpoints are of an exponential moving average of the classifier.

    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM 1992, with exponential weights as in
    Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017: as in their published code the first
    1 / (1 - decay) steps count equally, so that the random initial weights are soon forgotten. The statistics of batch norm
    are averaged like the weights. Training goes on with the weights themselves, which a checkpoint holds besides.

    Lightning's `EMAWeightAveraging` also averages whole numbers, such as pseudo-labels, and what else a method remembers,
    and it puts its average in the place of every checkpoint that is validated once training has ended.

    Args:
        decay: The average's share in its next value, in [0, 1); 0 is no average.
    """

    def __init__(self, decay: ShareBelowOne) -> None:
        self.decay = decay
        self.step = 0
        self.average: dict[str, Tensor] = {}
        self._trained: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.decay:
            return
        # A run that is continued has one already, but not where it trains.
        known = self.average or _weights(pl_module)
        self.average = {name: value.detach().to(pl_module.device, copy=True) for name, value in known.items()}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        # While gradients are accumulated, nothing has moved.
        if not self.decay or trainer.global_step == self.step:
            return
        self.step = trainer.global_step
        share = max(1 - self.decay, 1 / self.step)
        for name, value in _weights(pl_module).items():
            if value.is_floating_point():
                self.average[name].lerp_(value, share)
            else:
                self.average[name].copy_(value)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # After the training, what is validated are the weights of a checkpoint.
        if self.decay and trainer.state.fn == "fit":
            self._trained = {name: value.clone() for name, value in _weights(pl_module).items()}
            _classifier(pl_module).load_state_dict(self.average)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._trained:
            _classifier(pl_module).load_state_dict(self._trained)
            self._trained = {}

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.decay:
            checkpoint["trained_weights"] = _weights(pl_module)
            checkpoint["state_dict"] |= {PREFIX + name: value for name, value in self.average.items()}

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.decay and "trained_weights" in checkpoint:
            self.average = {name: checkpoint["state_dict"][PREFIX + name] for name in checkpoint["trained_weights"]}
            _classifier(pl_module).load_state_dict(checkpoint["trained_weights"])

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step = state_dict["step"]


def _classifier(method: pl.LightningModule) -> Any:
    return method.classifier


def _weights(method: pl.LightningModule) -> dict[str, Tensor]:
    """The classifier's parameters and what it counts besides, such as the statistics of batch norm."""
    weights: dict[str, Tensor] = _classifier(method).state_dict()
    return weights
