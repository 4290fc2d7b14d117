"""Checkpoint selection: one value per validation."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from acclimate.errors import ConfigError
from acclimate.scores.target_score import TargetScore
from acclimate.selection.evaluation_callback import EvaluationCallback
from acclimate.types import Domain, Labelled, Part, Prediction, Unlabelled


class Selection(EvaluationCallback):
    """Callback that logs `selection/value`, which checkpoints, early stopping and sweeps maximise.

    Args:
        score: The score to maximise; None selects the last validation.

    Attributes:
        finite: True if all predictions of the last validation or test are finite, a scalar of dtype bool. If not, the value
            is NaN.
    """

    def __init__(self, score: TargetScore | None) -> None:
        self.score = score
        self.finite = torch.tensor(True)

    @property
    def name(self) -> str:
        """Name of the score in reports; a score that depends on the data has it after the first validation."""
        return "last" if self.score is None else self.score.name

    @property
    def needs_target(self) -> bool:
        """True if the score needs target inputs."""
        return self.score is not None and self.score.needs_target

    @property
    def is_oracle(self) -> bool:
        """True if the score uses target labels."""
        return self.score is not None and self.score.is_oracle

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        # Lightning validates at fixed intervals; asked to stop, it validates once more, which covers the last step.
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.score is not None:
            self.score.to(trainer.strategy.root_device)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.finite = torch.tensor(True, device=pl_module.device)
        if self.score is not None:
            self.score.reset()

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.finite = torch.tensor(True, device=pl_module.device)

    def on_evaluation_batch(self, part: Part, domain: Domain, prediction: Prediction, batch: Labelled | Unlabelled) -> None:
        self.finite &= _are_finite(prediction)
        if part == "val" and self.score is not None:
            self.score.update(domain, prediction, batch.labels if isinstance(batch, Labelled) else None)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("selection/value", self.judge(trainer) if self.finite else torch.tensor(torch.nan), prog_bar=True)
        if self.is_oracle:
            # Marks the value in the console, the log, TensorBoard and metrics.json.
            pl_module.log("selection/is_oracle", 1.0, prog_bar=True)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Before the callbacks read the metric that they monitor.
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            monitored = getattr(callback, "monitor", None)
            if monitored is not None and monitored not in trainer.callback_metrics:
                raise ConfigError(
                    f"{type(callback).__name__} of callbacks monitors {monitored}, which is not measured. "
                    f"Choose one of {', '.join(sorted(trainer.callback_metrics))}."
                )

    def judge(self, trainer: pl.Trainer) -> Tensor:
        """Return the value of the validation that has just ended."""
        if self.score is None:
            return torch.tensor(float(trainer.global_step))
        value: Tensor = self.score.compute()
        return value

    def state_dict(self) -> dict[str, Any]:
        return {} if self.score is None else self.score.memory()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.score is not None:
            self.score.recall(state_dict)


def _are_finite(prediction: Prediction) -> Tensor:
    # An impossible class may have a logit of -inf.
    return prediction.logits.amax(dim=1).isfinite().all()
