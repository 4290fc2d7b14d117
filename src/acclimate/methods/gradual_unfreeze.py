"""Fine-tuning that begins with the head and goes down into the backbone, stage by stage."""

from typing import Any

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.models.stages import stages
from acclimate.ranges import OpenShare
from acclimate.schedules import num_unfrozen
from acclimate.types import DomainBatch, Needs


class GradualUnfreeze(Method):
    """Cross-entropy on the source, at first with a frozen backbone whose stages join the training from the last to the first.

    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018: what is near the head is the
    least general and is unfrozen first, so that a head that knows nothing yet does not spoil the rest. A frozen stage keeps
    its batch-norm statistics as well. A bottleneck is as new as the head and trains from the beginning.

    Args:
        classifier: What is trained; a backbone that is frozen already stays so.
        unfrozen_at: The progress from which on all stages train, above 0 and below 1; see `num_unfrozen`.
        **common: What `Method` takes.

    Raises:
        ConfigError: If the backbone learns updates of low rank in place of its weights.
    """

    needs = Needs(target=False, trained_features=False)

    def __init__(self, classifier: Classifier, *, unfrozen_at: OpenShare = 0.5, **common: Any) -> None:
        super().__init__(classifier, **common)
        if classifier.lora_rank is not None:
            raise ConfigError(
                "method=gradual_unfreeze trains the weights that model.lora_rank keeps as they are. Set model.lora_rank=null."
            )
        self.unfrozen_at = unfrozen_at
        self.num_stages = 0 if classifier.frozen else len(stages(classifier.backbone.body))

    def parameter_groups(self) -> list[dict[str, Any]]:
        # The fused step of SGD fails where some of its weights have had no gradient yet, and so have no momentum.
        return [{**group, "fused": False} for group in super().parameter_groups()]

    def before_pass(self, batch: DomainBatch) -> None:
        # Before each batch and from the progress alone, so that a resumed run is where it was. The optimizer holds all
        # stages from the beginning and passes over those without a gradient.
        num_frozen = self.num_stages - num_unfrozen(self.progress, num_stages=self.num_stages, end=self.unfrozen_at)
        if num_frozen != self.classifier.num_frozen_stages:
            self.classifier.freeze_stages(num_frozen)
            self.train()
