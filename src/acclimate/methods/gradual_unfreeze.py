"""Fine-tuning that unfreezes the backbone stage by stage."""

from typing import Any

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.models.stages import stages
from acclimate.ranges import OpenShare
from acclimate.schedules import num_unfrozen
from acclimate.types import DomainBatch, Needs


class GradualUnfreeze(Method):
    """Cross-entropy on the source with a frozen backbone whose stages are unfrozen one after another, from last to first.

    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018: the layers next to the head
    are the least general and are unfrozen first, so that the untrained head does not spoil the others. A frozen stage keeps
    its batch-norm statistics as well. A bottleneck is as new as the head and trains from the beginning.

    Args:
        classifier: The model to train; a backbone that is already frozen stays frozen.
        unfrozen_at: Progress at which all stages train, above 0 and below 1; see `num_unfrozen`.
        **common: Arguments of `Method`.

    Raises:
        ConfigError: If the backbone is trained with LoRA.
    """

    needs = Needs(target=False, trained_features=False)

    def __init__(self, classifier: Classifier, *, unfrozen_at: OpenShare = 0.5, **common: Any) -> None:
        super().__init__(classifier, **common)
        if classifier.lora_rank is not None:
            raise ConfigError("method=gradual_unfreeze trains the weights that model.lora_rank keeps fixed. Set model.lora_rank=null.")
        self.unfrozen_at = unfrozen_at
        self.num_stages = 0 if classifier.frozen else len(stages(classifier.backbone.body))

    def parameter_groups(self) -> list[dict[str, Any]]:
        # The fused step of SGD fails if some weights have had no gradient yet and hence have no momentum.
        return [{**group, "fused": False} for group in super().parameter_groups()]

    def before_pass(self, batch: DomainBatch) -> None:
        # Computed before each batch from the progress alone, so that a resumed run has the same stages. The optimizer holds
        # all stages from the beginning and skips those without a gradient.
        num_frozen = self.num_stages - num_unfrozen(self.progress, num_stages=self.num_stages, end=self.unfrozen_at)
        if num_frozen != self.classifier.num_frozen_stages:
            self.classifier.freeze_stages(num_frozen)
            self.train()
