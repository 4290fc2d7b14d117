"""Source hypothesis transfer (SHOT)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.inputs import move
from acclimate.losses.target_predictions import information_maximisation
from acclimate.methods.base import Method
from acclimate.methods.parts.centroid_labels import centroid_labels
from acclimate.models.classifier import Classifier
from acclimate.models.modes import evaluation
from acclimate.ranges import Count, NonNegative
from acclimate.types import DomainBatch, LabelledPass, Needs, Unlabelled, UnlabelledPass


class Shot(Method):
    """Source hypothesis transfer: adapt the features of a trained classifier to the target with a fixed head.

    Liang et al., "Do We Really Need to Access the Source Data? Source Hypothesis Transfer for Unsupervised Domain
    Adaptation", ICML 2020: information maximisation and cross-entropy with `centroid_labels`. These labels are computed for
    all training inputs of the target, without augmentation, and updated at equal intervals of the training. The curve
    `adaptation/relabelled` is the share of a batch whose pseudo-label is not the predicted class.

    Departures: the paper's head has normalised weights, and its source model is trained with label smoothing; both belong
    to the run that this one starts from.

    Args:
        classifier: A trained model; its head is the only information about the source.
        pseudo_label_weight: β, the weight of the cross-entropy with pseudo-labels, at least 0.
        labellings: Number of times that the pseudo-labels are computed, at least 1.
        **common: Arguments of `Method`.
    """

    needs = Needs(source="none")
    pseudo_labels: Tensor

    def __init__(self, classifier: Classifier, *, pseudo_label_weight: NonNegative = 0.3, labellings: Count = 15, **common: Any) -> None:
        super().__init__(classifier, **common)
        classifier.head.requires_grad_(False)
        self.pseudo_label_weight = pseudo_label_weight
        self.labellings = labellings
        # Not persistent: other data that the classifier is evaluated on has another number of inputs.
        self.register_buffer("pseudo_labels", torch.empty(0, dtype=torch.int64), persistent=False)

    def before_pass(self, batch: DomainBatch) -> None:
        if self.batches_done % max(self.total_batches // self.labellings, 1) == 0:
            self.label(self.data.unlabelled_target())

    def label(self, batches: Iterable[Unlabelled]) -> None:
        """Compute the pseudo-labels of all training inputs of the target, in the order of their `samples`."""
        with evaluation(self.classifier):
            predictions = [self.classifier(move(batch.inputs, self.device)) for batch in batches]
        features, logits = (torch.cat(part) for part in zip(*predictions, strict=True))
        self.pseudo_labels = centroid_labels(features, logits)

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        labels = self.pseudo_labels[target.samples]
        self.log("adaptation/relabelled", lambda: (labels != target.logits.argmax(dim=1)).float().mean())
        return {
            "information_maximisation": information_maximisation(target.logits),
            "pseudo_label": self.pseudo_label_weight * F.cross_entropy(target.logits, labels),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["pseudo_labels"] = self.pseudo_labels

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.pseudo_labels = checkpoint["pseudo_labels"].to(self.device)
