"""Deep correlation alignment (Deep CORAL)."""

from typing import Any

from torch import Tensor

from acclimate.losses.correlation_alignment import correlation_alignment
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.ranges import NonNegative
from acclimate.types import LabelledPass, UnlabelledPass


class DeepCoral(Method):
    """Deep CORAL: minimise the distance between the covariances of the domains' features.

    Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV Workshops 2016, applied to the
    features instead of the logits.

    Args:
        classifier: The model to train.
        correlation_weight: Weight of the distance between the covariances, at least 0.
        **common: Arguments of `Method`.
    """

    def __init__(self, classifier: Classifier, *, correlation_weight: NonNegative = 100.0, **common: Any) -> None:
        super().__init__(classifier, **common)
        self.correlation_weight = correlation_weight

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        return {
            "correlation": self.correlation_weight * correlation_alignment(source.features, target.features),
        }
