"""Which pretrained backbone suits labelled images, before any training."""

from typing import NamedTuple

import torch
from torch import nn

from acclimate.data.loader import EvaluationBatches
from acclimate.metrics.h_score import h_score
from acclimate.metrics.leep import log_expected_empirical_prediction
from acclimate.metrics.logme import log_maximum_evidence
from acclimate.types import Labelled


class RankedBackbone(NamedTuple):
    """What is known of a backbone without training it.

    Attributes:
        name: What distinguishes it from the others.
        logme: See `log_maximum_evidence`; the ranking goes by it.
        h_score: See `h_score`; None where there are not more images than features, and it would say nothing.
        leep: See `log_expected_empirical_prediction`; None without a head of the pretrained model. Compare it among models of
            the same pretrained classes.
        num_features: D.
    """

    name: str
    logme: float
    h_score: float | None
    leep: float | None
    num_features: int


def score_backbone(
    name: str, backbone: nn.Module, images: EvaluationBatches, *, device: torch.device, source_head: nn.Module | None = None
) -> RankedBackbone:
    """Scores of the features of labelled images.

    Args:
        name: What the result is called.
        backbone: From images to features, shape (N, D); it is put into evaluation mode.
        images: With labels.
        device: Where the backbone is.
        source_head: From features to the logits of the classes that the backbone was trained on, on the same device, if it
            is known.
    """
    backbone.eval()
    features, labels, probabilities = [], [], []
    for number in range(len(images)):
        batch = images[number]
        assert isinstance(batch, Labelled)
        with torch.inference_mode():
            made = backbone(batch.images.to(device))
            features.append(made.cpu())
            if source_head is not None:
                probabilities.append(source_head(made).softmax(dim=1).cpu())
        labels.append(batch.labels)
    all_features, all_labels = torch.cat(features), torch.cat(labels)
    num, width = all_features.shape
    return RankedBackbone(
        name,
        logme=log_maximum_evidence(all_features, all_labels).item(),
        h_score=h_score(all_features, all_labels).item() if num > width + 1 else None,
        leep=log_expected_empirical_prediction(torch.cat(probabilities), all_labels).item() if probabilities else None,
        num_features=width,
    )
