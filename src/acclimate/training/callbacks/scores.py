"""All label-free scores in every validation, from a single pass over the data."""

import pytorch_lightning as pl
from torch import Tensor
from torchmetrics import MetricCollection

from acclimate.scores.all_scores import GROUPS
from acclimate.scores.target_score import TargetScore
from acclimate.selection.evaluation_callback import EvaluationCallback
from acclimate.types import Domain, Labelled, Part, Prediction, Unlabelled


class Scores(EvaluationCallback):
    """Callback that logs `score/NAME` for each score, so that checkpoints, runs and methods can be compared by any of them.

    Args:
        has_source: Whether there are source inputs; otherwise, scores that need them are not logged.
        has_target: Whether there are target inputs; otherwise, scores that need them are not logged.
        has_head: Whether the head is trained; otherwise, only scores of features are logged.

    Attributes:
        probabilities: Probabilities of the target's inputs in the last validation, a list of batches, float16, shape (N, K);
            empty without a head.
    """

    def __init__(self, *, has_source: bool, has_target: bool, has_head: bool = True) -> None:
        def can_tell(score: type[TargetScore]) -> bool:
            return (has_source or not score.needs_source) and (has_target or not score.needs_target) and (has_head or not score.needs_head)

        groups = [[score for score in group if can_tell(score)] for group in GROUPS]
        self.has_head = has_head
        self.probabilities: list[Tensor] = []
        self.scores = MetricCollection(
            {score.name: score() for group in groups for score in group},
            compute_groups=[[score.name for score in group] for group in groups if group],
        )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.scores.to(trainer.strategy.root_device)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.scores.reset()
        self.probabilities = []

    def on_evaluation_batch(self, part: Part, domain: Domain, prediction: Prediction, batch: Labelled | Unlabelled) -> None:
        if part != "val":
            return
        # Target labels, which exist only for an oracle, are not passed to the scores.
        self.scores.update(domain, prediction, batch.labels if isinstance(batch, Labelled) and domain == "source" else None)
        if domain == "target" and self.has_head:
            self.probabilities.append(prediction.logits.float().softmax(dim=1).half().cpu())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log_dict({f"score/{name}": value for name, value in self.scores.compute().items()})
