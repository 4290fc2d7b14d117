"""A moving average of the weights for validation and for the selected checkpoint."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from acclimate.models.moving_average import MovingAverage
from acclimate.ranges import ShareBelowOne

PREFIX = "classifier."


class WeightAverage(Callback):
    """Callback that validates, selects and saves an exponential moving average of the classifier, see `MovingAverage`.

    The statistics of batch norm are averaged like the weights. Training continues with the original weights, which are also
    part of checkpoints.

    Lightning's `EMAWeightAveraging` would also average integers, such as pseudo-labels, and other state of methods, and would
    replace the weights of every checkpoint that is validated after training by its average.

    Args:
        decay: Share of the previous value in each update of the average, in [0, 1); 0 disables averaging.
    """

    def __init__(self, decay: ShareBelowOne) -> None:
        self.decay = decay
        self.step = 0
        self.average: MovingAverage | None = None
        self._trained: dict[str, Tensor] = {}
        # The average of a resumed run so far.
        self._restored: dict[str, Tensor] = {}
        self._num_averaged = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.decay:
            return
        self.average = MovingAverage(_classifier(pl_module), self.decay, use_buffers=True)
        if self._restored:
            self.average.module.load_state_dict(self._restored)
            self.average.n_averaged.fill_(self._num_averaged)
            self._restored = {}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        # While gradients are accumulated, the weights have not changed.
        if self.average is None or trainer.global_step == self.step:
            return
        self.step = trainer.global_step
        self.average.update_parameters(_classifier(pl_module))

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # After training, the weights of a checkpoint are validated.
        if self.average is not None and trainer.state.fn == "fit":
            self._trained = {name: value.clone() for name, value in _weights(pl_module).items()}
            _classifier(pl_module).load_state_dict(self.average.module.state_dict())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._trained:
            _classifier(pl_module).load_state_dict(self._trained)
            self._trained = {}

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.average is not None:
            checkpoint["trained_weights"] = _weights(pl_module)
            checkpoint["state_dict"] |= {PREFIX + name: value for name, value in self.average.module.state_dict().items()}

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.decay and "trained_weights" in checkpoint:
            self._restored = {name: checkpoint["state_dict"][PREFIX + name] for name in checkpoint["trained_weights"]}
            _classifier(pl_module).load_state_dict(checkpoint["trained_weights"])

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "num_averaged": 0 if self.average is None else int(self.average.n_averaged)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step = state_dict["step"]
        # Checkpoints of earlier versions contain only the step.
        self._num_averaged = state_dict.get("num_averaged", self.step)


def _classifier(method: pl.LightningModule) -> Any:
    return method.classifier


def _weights(method: pl.LightningModule) -> dict[str, Tensor]:
    """Return the parameters and the other state of the classifier, such as the statistics of batch norm."""
    weights: dict[str, Tensor] = _classifier(method).state_dict()
    return weights
