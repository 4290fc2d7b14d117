"""Which pretrained backbone suits labelled images, before any training."""

from typing import NamedTuple

import torch
from torch import nn

from acclimate.data.loader import EvaluationBatches
from acclimate.metrics.h_score import h_score
from acclimate.metrics.logme import log_maximum_evidence
from acclimate.types import Labelled


class RankedBackbone(NamedTuple):
    """What is known of a backbone without training it.

    Attributes:
        name: What distinguishes it from the others.
        logme: See `log_maximum_evidence`; the ranking goes by it.
        h_score: See `h_score`; None where there are not more images than features, and it would say nothing.
        num_features: D.
    """

    name: str
    logme: float
    h_score: float | None
    num_features: int


def score_backbone(name: str, backbone: nn.Module, images: EvaluationBatches, *, device: torch.device) -> RankedBackbone:
    """Scores of the features of labelled images.

    Args:
        name: What the result is called.
        backbone: From images to features, shape (N, D); it is put into evaluation mode.
        images: With labels.
        device: Where the backbone is.
    """
    backbone.eval()
    features, labels = [], []
    for number in range(len(images)):
        batch = images[number]
        assert isinstance(batch, Labelled)
        with torch.inference_mode():
            features.append(backbone(batch.images.to(device)).cpu())
        labels.append(batch.labels)
    all_features, all_labels = torch.cat(features), torch.cat(labels)
    num, width = all_features.shape
    return RankedBackbone(
        name,
        logme=log_maximum_evidence(all_features, all_labels).item(),
        h_score=h_score(all_features, all_labels).item() if num > width + 1 else None,
        num_features=width,
    )
