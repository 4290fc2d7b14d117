"""Co-tuning (You et al., NeurIPS 2020)."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.inputs import Features, move
from acclimate.losses.precision import in_float32
from acclimate.methods.base import Method
from acclimate.methods.parts.category_relationship import calibrated_relationship, direct_relationship
from acclimate.models.classifier import Classifier
from acclimate.models.modes import evaluation
from acclimate.ranges import NonNegative
from acclimate.types import Labelled, LabelledPass, Needs


class CoTuning(Method):
    """Co-tuning: the pretrained model's head keeps learning, from labels translated into the pretrained classes.

    You et al., "Co-Tuning for Transfer Learning", NeurIPS 2020. The relationship between the classes and the pretrained
    classes is estimated before training from the pretrained model's predictions for all labelled training inputs, see
    `calibrated_relationship` and `direct_relationship`. Our source is the paper's target, and our pretrained model the
    paper's source. The pretrained head takes the features of the backbone and has its learning rate, as in the published
    code.

    Args:
        classifier: A pretrained model whose backbone provides its pretrained head.
        pretrained_weight: λ, the weight of the cross-entropy on the pretrained classes, at least 0.
        relationship: Estimator of the relationship between classes.
        **common: Arguments of `Method`.

    Raises:
        ConfigError: If the backbone's weights come without a head.
    """

    needs = Needs(target=False, trained_features=False, pretrained_head=True)
    relationship: Tensor

    def __init__(
        self,
        classifier: Classifier,
        *,
        pretrained_weight: NonNegative = 2.3,
        relationship: Literal["calibrated", "direct"] = "calibrated",
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        make_head = classifier.backbone.make_source_head
        if make_head is None or not classifier.pretrained:
            raise ConfigError(
                "This method trains the head that a pretrained model came with, but this model has none: its weights are random or from "
                "a file. Use model=efficientnet_lite0, or another with named weights, or method=fine_tune."
            )
        self.pretrained_weight = pretrained_weight
        self.relate = {"calibrated": calibrated_relationship, "direct": direct_relationship}[relationship]
        self.source_head = make_head()
        num_classes, num_pretrained = classifier.head.out_features, self.source_head.out_features
        # Estimated once, before the first step, because training changes the predictions.
        self.register_buffer("relationship", torch.full((num_classes, num_pretrained), 1 / num_pretrained))

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.batches_done == 0:
            self.translate(self.data.labelled_source())

    def translate(self, batches: Iterable[Labelled]) -> None:
        """Estimate the relationship between classes from all labelled inputs."""
        found = []
        with evaluation(self):
            for batch in batches:
                features = self.classifier.backbone(move(batch.inputs, self.device))
                found.append((self.source_head(features).softmax(dim=1), batch.labels))
        probabilities, labels = (torch.cat(part) for part in zip(*found, strict=True))
        self.relationship.copy_(self.relate(probabilities, labels.to(self.device), num_classes=len(self.relationship)))

    def recorded(self) -> list[nn.Module]:
        return [self.classifier.backbone]

    def source_losses(self, source: LabelledPass) -> dict[str, Tensor]:
        # Kept features do not pass the backbone again.
        features = source.inputs.values if isinstance(source.inputs, Features) else source.hidden[0]
        translated = _translated(source.labels, self.relationship)
        return {"pretrained_classification": self.pretrained_weight * F.cross_entropy(self.source_head(features), translated)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        groups = super().parameter_groups()
        return [group | {"rate": self.backbone_rate} if group["name"] == "method" else group for group in groups]


@in_float32
def _translated(labels: Tensor, relationship: Tensor) -> Tensor:
    """Return the pretrained classes' probabilities for each label: rows of the relationship, mixed for soft labels."""
    return labels @ relationship if labels.is_floating_point() else relationship[labels]
