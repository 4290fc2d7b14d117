"""Fine-tuning that preserves the feature maps of the pretrained network (DELTA)."""

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
    """Cross-entropy on the source and a penalty on the distance of feature maps from those of the pretrained network.

    Li et al., "DELTA: DEep Learning Transfer using Feature Map with Attention for Convolutional Networks", ICLR 2019,
    which regularises the behaviour of a network instead of its weights. As in the paper, the weights of new layers decay
    towards zero, and the pretrained network uses its own batch-norm statistics.

    Departures: all channels get equal attention, as in the paper's ablation (its attention measures, in many passes before
    training, the increase of the loss when each channel is set to zero); distances are relative, see
    `feature_map_distance`; and all stages of the backbone count, see `stages`, where the paper uses the four of a ResNet.

    A checkpoint contains the pretrained backbone, because the original weights may be gone when a run is resumed.

    Args:
        classifier: The model to train, in its state before training.
        map_weight: Weight of the relative distance of the feature maps, at least 0.
        shrinkage_weight: Weight decay of the new layers, at least 0.
        **common: Arguments of `Method`.
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
