"""Prediction of rotations in both domains together."""

from typing import Any

import torch
from torch import Tensor, nn

from acclimate.losses.rotation import NUM_ROTATIONS, rotation_labels, rotation_prediction, rotations
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.types import LabelledPass, Needs, Prediction, UnlabelledPass


class Rotation(Method):
    """The features are to tell how far an image was turned: by 0, 90, 180 or 270 degrees.

    Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018; every image goes in
    with all four rotations at once, as there. On the images of both domains, which the shared task draws together: Sun et
    al., "Unsupervised Domain Adaptation through Self-Supervision", 2019. These train the classifier beside it; here it
    comes afterwards, with `init_from`, and the head of rotations stays behind.

    Args:
        classifier: Its features are trained, its head is not.
        **common: What `Method` takes.
    """

    needs = Needs(source="unlabelled", inputs="images", target_labels=False)
    # Features cannot be turned.

    def __init__(self, classifier: Classifier, **common: Any) -> None:
        super().__init__(classifier, **common)
        self.rotation_head = nn.Linear(classifier.num_features, NUM_ROTATIONS)

    def predict_domains(self, source: Tensor, target: Tensor) -> tuple[Prediction, Prediction]:
        return super().predict_domains(rotations(source), rotations(target))

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        # All images of one rotation stand together again.
        quarters = zip(source.features.chunk(NUM_ROTATIONS), target.features.chunk(NUM_ROTATIONS), strict=True)
        logits = self.rotation_head(torch.cat([features for quarter in quarters for features in quarter]))
        labels = rotation_labels(len(logits) // NUM_ROTATIONS, logits.device)
        self.log("adaptation/rotation_accuracy", (logits.argmax(dim=1) == labels).float().mean())
        return {"rotation": rotation_prediction(logits)}
