"""All label-free scores of every validation, from its one pass over the images."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torchmetrics import MetricCollection

from acclimate.data.datamodule import data_of
from acclimate.scores.class_correlation import CorrelationWithIdentity, NuclearNorm
from acclimate.scores.cluster_agreement import ClassAMI
from acclimate.scores.domain_accuracy import SourceAccuracy
from acclimate.scores.feature_rank import RankMe
from acclimate.scores.importance_weighting import DeepEmbeddedValidation, ImportanceWeightedValidation, NormalisedDeepEmbeddedValidation
from acclimate.scores.information import Diversity, Information, TargetEntropy
from acclimate.scores.information_and_correlation import InformationAndCorrelation
from acclimate.scores.soft_neighbourhood import SoftNeighbourhoodDensity
from acclimate.scores.target_score import TargetScore
from acclimate.scores.transfer_score import TransferScore
from acclimate.types import Labelled, Prediction, Unlabelled

# Those of a row need the same sums or samples, which are kept once.
GROUPS: tuple[tuple[type[TargetScore], ...], ...] = (
    (SourceAccuracy,),
    (Information, TargetEntropy, Diversity),
    (NuclearNorm, CorrelationWithIdentity),
    (InformationAndCorrelation,),
    (RankMe,),
    # The density keeps no features.
    (SoftNeighbourhoodDensity,),
    (ClassAMI, TransferScore),
    (ImportanceWeightedValidation, DeepEmbeddedValidation, NormalisedDeepEmbeddedValidation),
)


class Scores(Callback):
    """Logs `score/NAME` for each score, so that checkpoints, runs and methods can be compared by any of them afterwards.

    Args:
        has_source: Whether there are source images; without them only what looks at the target alone is logged.
        has_target: Whether there are target images; without them only what looks at the source alone is logged.
        has_head: Whether predictions mean something; otherwise only what looks at features alone is logged.

    Attributes:
        probabilities: Of the target's images in the last validation, in batches, float16, shape (N, K); none without a head.
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

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.scores.to(pl_module.device).reset()
        self.probabilities = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Prediction,  # type: ignore[override]
        batch: Labelled | Unlabelled,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        domain = data_of(trainer).evaluated_domains("val")[dataloader_idx]
        # Labels of the target, which come under the oracle alone, go no further than to it.
        labels = batch.labels if isinstance(batch, Labelled) and domain == "source" else None
        self.scores.update(domain, outputs, labels)
        if domain == "target" and self.has_head:
            self.probabilities.append(outputs.logits.float().softmax(dim=1).half().cpu())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log_dict({f"score/{name}": value for name, value in self.scores.compute().items()})
