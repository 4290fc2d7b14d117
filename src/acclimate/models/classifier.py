"""The model: backbone, bottleneck and head."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from annotated_types import Ge, doc
from torch import nn

from acclimate.inputs import Features, Inputs, InputSpec
from acclimate.models.backbones.backbone import Backbone
from acclimate.models.lora import add_low_rank_updates
from acclimate.models.stages import stages
from acclimate.models.weights import is_file, load_weights
from acclimate.ranges import Count, ShareBelowOne
from acclimate.types import Prediction


class Classifier(nn.Module):
    """Classifier from inputs to features and logits, the same in training and in evaluation.

    Args:
        backbone: Function that builds the backbone with the keywords `weights` and `inputs`.
        num_classes: K, the number of classes, at least 2.
        inputs: Specification of the data's inputs.
        weights: A file with the weights of the backbone, or a value for the backbone itself; None: random weights.
        bottleneck: Width of a layer between backbone and head, whose outputs are the features that methods align; None: no
            such layer.
        dropout: Share of the features that are set to zero before the head in training.
        lora_rank: Rank of the updates that are trained instead of the backbone's weights, see `LowRankUpdate`; None: train
            the weights.
        freeze: `backbone` freezes the weights and the batch-norm statistics of the backbone.

    Raises:
        ConfigError: If the weights are not available or belong to another architecture, or no layer can have updates.
    """

    def __init__(
        self,
        backbone: Callable[..., Backbone],
        *,
        num_classes: int,
        inputs: InputSpec,
        weights: str | bool | None = None,
        bottleneck: Count | None = None,
        dropout: ShareBelowOne = 0.0,
        lora_rank: Annotated[int, Ge(1), doc("Use null to train the weights themselves.")] | None = None,
        freeze: Literal["none", "backbone"] = "none",
    ) -> None:
        super().__init__()
        self.pretrained = weights not in (None, False)
        from_file = is_file(weights)
        self.backbone = backbone(weights=None if from_file else weights, inputs=inputs)
        if from_file:
            load_weights(self.backbone.body, Path(str(weights)))
            # The backbone knows only the head of its own weights.
            self.backbone.make_source_head = None
        self.num_features = bottleneck or self.backbone.num_features
        # Batch norm keeps the features of all methods on one scale, as in the published code of DANN and CDAN.
        self.bottleneck = (
            nn.Sequential(nn.Linear(self.backbone.num_features, bottleneck), nn.BatchNorm1d(bottleneck), nn.ReLU())
            if bottleneck
            else nn.Identity()
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.num_features, num_classes)
        self.frozen = False
        self.lora_rank: int | None = None
        if lora_rank is not None:
            self.add_low_rank_updates(lora_rank)
        self.num_frozen_stages = 0
        if freeze == "backbone":
            self.freeze_backbone()
        # Convolutions on CPUs and on tensor cores are faster in the channels-last layout.
        self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Inputs) -> Prediction:
        """Compute features (N, D) and logits (N, K) of N inputs or of precomputed features of the backbone."""
        backbone_features = inputs.values if isinstance(inputs, Features) else self.backbone(inputs)
        features = self.dropout(self.bottleneck(backbone_features))
        return Prediction(features, self.head(features))

    @property
    def trains_features(self) -> bool:
        """True if any layer before the head is trainable."""
        return not self.frozen or not isinstance(self.bottleneck, nn.Identity)

    def freeze_backbone(self) -> None:
        """Freeze the backbone's weights and its batch-norm statistics."""
        self.frozen = True
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def add_low_rank_updates(self, rank: int) -> None:
        """Freeze the weights of the backbone and train low-rank updates instead, unless the backbone is frozen."""
        self.lora_rank = rank
        add_low_rank_updates(self.backbone, rank=rank)
        if self.frozen:
            self.freeze_backbone()

    def freeze_stages(self, num: int) -> None:
        """Freeze the first `num` stages of the backbone, see `stages`, and train the others.

        Batch norm of the frozen stages keeps its statistics from the next call of `train`.
        """
        self.num_frozen_stages = num
        for number, stage in enumerate(stages(self.backbone.body)):
            for parameter in stage.parameters:
                parameter.requires_grad_(number >= num)

    def train(self, mode: bool = True) -> Self:
        if self.frozen:
            # A backbone may have hundreds of layers, whose mode is already right.
            self.training = mode
            for part in self.children():
                if part is not self.backbone:
                    part.train(mode)
            return self
        super().train(mode)
        if self.num_frozen_stages:
            for stage in stages(self.backbone.body)[: self.num_frozen_stages]:
                for layer in stage.layers:
                    layer.eval()
        return self

    def parameter_groups(self, *, backbone_rate: float, layer_decay: float | None = None) -> list[dict[str, Any]]:
        """Return trainable parameters for an optimizer, with the backbone at `backbone_rate` times the rate of the rest.

        With `layer_decay`, each stage of the backbone, see `stages`, is a group, whose rate is `layer_decay` times that of
        the next stage; the head follows after the last stage. Each group has a `name` and a `rate`.
        """
        groups = [("backbone", backbone_rate, list(self.backbone.parameters()))]
        if layer_decay is not None:
            found = stages(self.backbone.body)
            groups = [
                (f"backbone_{number}", backbone_rate * layer_decay ** (len(found) - number), stage.parameters)
                for number, stage in enumerate(found)
            ]
        groups.append(("head", 1.0, [*self.bottleneck.parameters(), *self.head.parameters()]))
        trained = [{"name": name, "rate": rate, "params": [p for p in params if p.requires_grad]} for name, rate, params in groups]
        return [group for group in trained if group["params"]]
