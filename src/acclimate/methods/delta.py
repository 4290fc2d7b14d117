"""Fine-tuning that keeps the feature maps of its starting point (DELTA)."""

from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.starting_point import feature_map_distance, shrinkage
from acclimate.methods.base import Method
from acclimate.methods.parts.fixed_weights import FixedCopy
from acclimate.models.classifier import Classifier
from acclimate.models.stages import recorded_outputs
from acclimate.ranges import NonNegative
from acclimate.types import DomainBatch, Prediction


class Delta(Method):
    """Cross-entropy on the source while every stage's feature maps stay near to those of the pretrained network.

    Li et al., "DELTA: DEep Learning Transfer using Feature Map with Attention for Convolutional Networks", ICLR 2019,
    which constrains what a network does instead of its weights. As there, the weights of new layers decay towards zero, and
    the pretrained network normalises by its own statistics. Departures: all channels get equal attention, which is the paper's
    ablation (its attention asks how the loss grows when one channel after the other is set to zero, in many passes before
    training); distances are relative, see `feature_map_distance`; and all stages of the backbone count, see `stages`, where
    the paper has a ResNet's four.

    A checkpoint holds the pretrained backbone, because the weights that a run started from may not be there any more when it
    is continued.

    Args:
        classifier: What is trained, as it is before training.
        map_weight: What the relative distance of the feature maps counts, at least 0.
        shrinkage_weight: What the decay of the new layers counts, at least 0.
        **common: What `Method` takes.
    """

    needs_target: ClassVar[bool] = False
    aligns_features: ClassVar[bool] = False
    looks_into_backbone: ClassVar[bool] = True

    def __init__(
        self, classifier: Classifier, *, map_weight: NonNegative = 1.0, shrinkage_weight: NonNegative = 0.01, **common: Any
    ) -> None:
        super().__init__(classifier, **common)
        self.map_weight = map_weight
        self.shrinkage_weight = shrinkage_weight
        self.start = FixedCopy(classifier.backbone)
        self.maps: list[Tensor] = []

    def predict_domains(self, batch: DomainBatch) -> tuple[Prediction, None]:
        with recorded_outputs(self.classifier.backbone.body) as self.maps:
            prediction: Prediction = self.classifier(batch.source.inputs)
        return prediction, None

    def losses(self, batch: DomainBatch, source: Prediction, target: Prediction | None) -> dict[str, Tensor]:
        with recorded_outputs(self.start.network.get_submodule("body")) as start_maps:
            self.start(batch.source.inputs)
        # Taken out, so that the graph of the pass does not outlive it; labelled images of the target came behind the source.
        maps, self.maps = [output[: len(source.logits)] for output in self.maps], []
        new = [*self.classifier.bottleneck.parameters(), *self.classifier.head.parameters()]
        return {
            "classification": F.cross_entropy(source.logits, batch.source.labels),
            "feature_maps": self.map_weight * feature_map_distance(maps, start_maps),
            "shrinkage": self.shrinkage_weight * shrinkage(new),
        }
