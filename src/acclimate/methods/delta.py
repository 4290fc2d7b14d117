"""Fine-tuning that keeps the feature maps of its starting point (DELTA)."""

from typing import Any

from torch import Tensor, nn

from acclimate.losses.starting_point import feature_map_distance, shrinkage
from acclimate.methods.base import Method
from acclimate.methods.parts.fixed_weights import FixedCopy
from acclimate.models.classifier import Classifier
from acclimate.models.stages import recorded_outputs, weighted_layers
from acclimate.ranges import NonNegative
from acclimate.types import LabelledPass, Needs


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

    needs = Needs(target=False, trained_features=False, inputs="raw")

    def __init__(
        self, classifier: Classifier, *, map_weight: NonNegative = 1.0, shrinkage_weight: NonNegative = 0.01, **common: Any
    ) -> None:
        super().__init__(classifier, **common)
        self.map_weight = map_weight
        self.shrinkage_weight = shrinkage_weight
        self.start = FixedCopy(classifier.backbone)

    def recorded(self) -> list[nn.Module]:
        return weighted_layers(self.classifier.backbone.body)

    def source_losses(self, source: LabelledPass) -> dict[str, Tensor]:
        with recorded_outputs(weighted_layers(self.start.network.get_submodule("body"))) as start_maps:
            self.start(source.inputs)
        new = [*self.classifier.bottleneck.parameters(), *self.classifier.head.parameters()]
        return {
            "feature_maps": self.map_weight * feature_map_distance(source.hidden, start_maps),
            "shrinkage": self.shrinkage_weight * shrinkage(new),
        }
