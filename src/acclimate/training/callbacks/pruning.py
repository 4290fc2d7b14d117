"""The end of a run whose score is low compared with those of other trials of a search."""

from typing import Any, Protocol

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn

from acclimate.errors import Pruned


class Trial(Protocol):
    """A trial of a search, such as one of Optuna."""

    def report(self, value: float, step: int) -> None:
        """Record the value of a step."""

    def should_prune(self) -> bool:
        """Return True if the run should end, judging by the values reported so far."""


class Pruning(Callback):
    """Callback that reports the selection's value of each validation to a trial, and ends the run if the trial's pruner says so.

    The steps of the trial are validations, counted from 0. The run ends at the beginning of the next training step, so that a
    training that is over is not pruned.

    Args:
        trial: The trial.
        num_reported: Number of validations that earlier starts of the run have reported. A resumed run may repeat some of them.

    Raises:
        Pruned: If the pruner ends the run.
    """

    def __init__(self, trial: Trial, num_reported: int) -> None:
        self.trial = trial
        self.num_reported = num_reported
        self.num_validations = 0
        self._value = float("nan")
        self._asks = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        self._value = float(trainer.callback_metrics["selection/value"])
        if self.num_validations == self.num_reported:
            self.trial.report(self._value, self.num_validations)
            self.num_reported += 1
        self.num_validations += 1
        # The pruner judges by the last value, so that those before it have been judged already.
        self._asks = self.num_validations == self.num_reported

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        if not self._asks:
            return
        self._asks = False
        if self.trial.should_prune():
            raise Pruned(f"after {trainer.global_step} steps, with a score of {self._value:.4f}")

    # Not in state_dict, which Lightning would miss when the run is continued without a pruner.
    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["validations"] = (self.num_validations, self._value)

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        self.num_validations, self._value = checkpoint.get("validations", (0, float("nan")))
        self._asks = 0 < self.num_validations == self.num_reported
