"""Rotation prediction in both domains."""

from typing import Any

import torch
from torch import Tensor, nn

from acclimate.losses.rotation import NUM_ROTATIONS, rotation_labels, rotation_prediction, rotations
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.types import LabelledPass, Needs, Prediction, UnlabelledPass


class Rotation(Method):
    """Self-supervised prediction of the rotation of each image: 0, 90, 180 or 270 degrees.

    Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018; as in the paper, a
    batch contains all four rotations of every image. The task is shared by the images of both domains, which aligns them:
    Sun et al., "Unsupervised Domain Adaptation through Self-Supervision", 2019. Sun et al. train the classifier at the same
    time; here it is trained afterwards, by a run with `init_from`, which does not use the rotation head.

    Args:
        classifier: The model whose features are trained; its head is not.
        **common: Arguments of `Method`.
    """

    needs = Needs(source="unlabelled", inputs="images", target_labels=False)

    def __init__(self, classifier: Classifier, **common: Any) -> None:
        super().__init__(classifier, **common)
        self.rotation_head = nn.Linear(classifier.num_features, NUM_ROTATIONS)

    def predict_domains(self, source: Tensor, target: Tensor) -> tuple[Prediction, Prediction]:  # type: ignore[override]
        return super().predict_domains(rotations(source), rotations(target))

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        # Group the images of both domains by rotation.
        quarters = zip(source.features.chunk(NUM_ROTATIONS), target.features.chunk(NUM_ROTATIONS), strict=True)
        logits = self.rotation_head(torch.cat([features for quarter in quarters for features in quarter]))
        labels = rotation_labels(len(logits) // NUM_ROTATIONS, logits.device)
        self.log("adaptation/rotation_accuracy", (logits.argmax(dim=1) == labels).float().mean())
        return {"rotation": rotation_prediction(logits)}
