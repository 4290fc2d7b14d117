"""Deep correlation alignment (Deep CORAL)."""

from typing import Any

from torch import Tensor

from acclimate.losses.correlation_alignment import correlation_alignment
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.ranges import NonNegative
from acclimate.types import LabelledPass, UnlabelledPass


class DeepCoral(Method):
    """The covariances of the features are made the same in both domains.

    Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV Workshops 2016, on the features
    instead of the logits.

    Args:
        classifier: What is trained.
        correlation_weight: Of the distance between the covariances, at least 0.
        **common: What `Method` takes.
    """

    def __init__(self, classifier: Classifier, *, correlation_weight: NonNegative = 100.0, **common: Any) -> None:
        super().__init__(classifier, **common)
        self.correlation_weight = correlation_weight

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        return {
            "correlation": self.correlation_weight * correlation_alignment(source.features, target.features),
        }
