"""Ranking of pretrained backbones for labelled inputs without training."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import nn

from acclimate.config.check import check_config
from acclimate.config.instantiate import instantiate
from acclimate.data.datamodule import AdaptationData
from acclimate.data.loaders import EvaluationBatches
from acclimate.errors import ConfigError
from acclimate.inputs import move
from acclimate.memory import explain_out_of_memory
from acclimate.models.backbones.backbone import Backbone
from acclimate.models.classifier import Classifier
from acclimate.scores.h_score import h_score
from acclimate.scores.leep import log_expected_empirical_prediction
from acclimate.scores.logme import log_maximum_evidence
from acclimate.scores.ordering import nan_lowest
from acclimate.types import Labelled, Needs

log = logging.getLogger(__name__)


class RankedBackbone(NamedTuple):
    """Scores of a backbone without training.

    Attributes:
        name: Name that distinguishes it from the others.
        logme: See `log_maximum_evidence`; it determines the rank.
        h_score: See `h_score`; None unless there are more inputs than features, because it would be uninformative.
        leep: See `log_expected_empirical_prediction`; None without a head of the pretrained model. It is only comparable among
            models with the same pretrained classes.
        num_features: Width of the features.
    """

    name: str
    logme: float
    h_score: float | None
    leep: float | None
    num_features: int


def rank(configs: Mapping[str, dict[str, Any]]) -> list[RankedBackbone]:
    """Score backbones on the source's labelled training inputs without training them, best first.

    Args:
        configs: Plain, fully resolved configurations by name, of which the data, the model and the seed are used.

    Raises:
        UserError: For mistakes that the user can correct.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ranked = []
    for name, config in configs.items():
        check_config(config)
        sizes = {f"data.{key}": config["data"][key] for key in ("eval_batch_size", "image_size") if key in config["data"]}
        with explain_out_of_memory(config, sizes, "Lower data.eval_batch_size, then data.image_size, or leave the model out."):
            ranked.append(_score(name, config, device))
    return sorted(ranked, key=lambda backbone: nan_lowest(backbone.logme), reverse=True)


def _score(name: str, config: Mapping[str, Any], device: torch.device) -> RankedBackbone:
    pl.seed_everything(config["seed"], verbose=False)
    data: AdaptationData = instantiate(config["data"])
    num_classes = len(data.domains.classes)
    classifier: Classifier = instantiate(config["model"], num_classes=num_classes, inputs=data.input_spec())
    backbone: Backbone = classifier.backbone
    data.prepare_for(spec=backbone.inputs, needs=Needs(target=False), reveal_target_labels=False, show_overview=False)
    assert data.domains.source is not None
    batches = EvaluationBatches(data.domains.source.train, data.kind.view("plain"), batch_size=data.eval_batch_size, labelled=True)
    source_head = _source_head(backbone) if classifier.pretrained else None
    return score_backbone(name, backbone.to(device), batches, device=device, source_head=source_head)


def _source_head(backbone: Backbone) -> nn.Module | None:
    """Return the head of a pretrained model; None if there is none, or it is not a layer on the features."""
    try:
        return None if backbone.make_source_head is None else backbone.make_source_head()
    except ConfigError as reason:
        log.info("There is no LEEP: %s", reason)
        return None


def score_backbone(
    name: str, backbone: nn.Module, batches: EvaluationBatches, *, device: torch.device, source_head: nn.Module | None = None
) -> RankedBackbone:
    """Score the features of labelled inputs.

    Args:
        name: Name of the result.
        backbone: Network from inputs to features, shape (N, D); it is put into evaluation mode.
        batches: Labelled inputs.
        device: Device of the backbone.
        source_head: Layer from features to the logits of the classes that the backbone was trained on, if it is known.
    """
    backbone.eval()
    if source_head is not None:
        source_head.to(device)
    features, labels, probabilities = [], [], []
    for number in range(len(batches)):
        batch = batches[number]
        assert isinstance(batch, Labelled)
        with torch.inference_mode():
            made = backbone(move(batch.inputs, device))
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
