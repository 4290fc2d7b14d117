"""Fine-tuning with weight decay towards the pretrained weights (L²-SP)."""

from typing import Any

from torch import Tensor

from acclimate.losses.starting_point import shrinkage, starting_point_distance
from acclimate.methods.base import Method
from acclimate.methods.parts.fixed_weights import FixedCopy
from acclimate.models.classifier import Classifier
from acclimate.ranges import NonNegative
from acclimate.types import LabelledPass, Needs


class L2Sp(Method):
    """Cross-entropy on the source and weight decay, which pulls the backbone towards its pretrained weights.

    Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", ICML 2018.
    New layers, which are the head and the bottleneck, decay towards zero. This replaces the optimizer's own weight decay,
    which would pull all weights towards zero.

    A checkpoint contains the pretrained weights, because the original ones may be gone when a run is resumed.

    Args:
        classifier: The model to train, in its state before training.
        start_weight: The paper's α, for pretrained layers, at least 0.
        shrinkage_weight: The paper's β, for new layers, at least 0.
        **common: Arguments of `Method`.
    """

    needs = Needs(target=False, trained_features=False)

    def __init__(
        self, classifier: Classifier, *, start_weight: NonNegative = 0.1, shrinkage_weight: NonNegative = 0.01, **common: Any
    ) -> None:
        super().__init__(classifier, **common)
        self.start_weight = start_weight
        self.shrinkage_weight = shrinkage_weight
        self.start = FixedCopy(classifier.backbone)

    def source_losses(self, source: LabelledPass) -> dict[str, Tensor]:
        pretrained, start = list(self.classifier.backbone.parameters()), list(self.start.network.parameters())
        new = [*self.classifier.bottleneck.parameters(), *self.classifier.head.parameters()]
        return {
            "starting_point": self.start_weight * starting_point_distance(pretrained, start),
            "shrinkage": self.shrinkage_weight * shrinkage(new),
        }
