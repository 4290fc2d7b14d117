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
    """Inputs to features and logits, the same in training and in evaluation.

    Args:
        backbone: Makes the backbone when it is called with `weights=` and `inputs=`.
        num_classes: K, at least 2.
        inputs: Specification of the data's inputs.
        weights: A file with the weights of the backbone, or what the backbone itself understands; None is random.
        bottleneck: Width of a layer between backbone and head, whose output is what methods align; None leaves it out.
        dropout: Share of the features that training sets to zero in front of the head.
        lora_rank: The backbone keeps its weights and learns updates of this rank, see `LowRankUpdate`; None trains the weights.
        freeze: `backbone` keeps its weights and its batch-norm statistics as they are.

    Raises:
        ConfigError: If the weights cannot be had or belong to another architecture, or no layer can have the updates.
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
            # The backbone knows only its own.
            self.backbone.make_source_head = None
        self.num_features = bottleneck or self.backbone.num_features
        # Batch norm keeps features of all methods on one scale, as in the bottlenecks of DANN's and CDAN's published code.
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
        # Convolutions on CPUs and on tensor cores are faster when channels lie next to each other.
        self.to(memory_format=torch.channels_last)

    def forward(self, inputs: Inputs) -> Prediction:
        """Features (N, D) and logits (N, K) of N inputs, or of what the backbone has made of them before."""
        backbone_features = inputs.values if isinstance(inputs, Features) else self.backbone(inputs)
        features = self.dropout(self.bottleneck(backbone_features))
        return Prediction(features, self.head(features))

    @property
    def trains_features(self) -> bool:
        """Whether any layer in front of the head trains."""
        return not self.frozen or not isinstance(self.bottleneck, nn.Identity)

    def freeze_backbone(self) -> None:
        """Keeps the backbone's weights, and its batch-norm statistics also in training."""
        self.frozen = True
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def add_low_rank_updates(self, rank: int) -> None:
        """Keeps the weights of the backbone and trains updates of low rank in their place, unless the backbone is frozen."""
        self.lora_rank = rank
        add_low_rank_updates(self.backbone, rank=rank)
        if self.frozen:
            self.freeze_backbone()

    def freeze_stages(self, num: int) -> None:
        """Keeps the weights of the first so many stages of the backbone, see `stages`, and trains those of the others.

        Batch norm of the frozen ones keeps its statistics from the next call of `train` on.
        """
        self.num_frozen_stages = num
        for number, stage in enumerate(stages(self.backbone.body)):
            for parameter in stage.parameters:
                parameter.requires_grad_(number >= num)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        elif self.num_frozen_stages:
            for stage in stages(self.backbone.body)[: self.num_frozen_stages]:
                for layer in stage.layers:
                    layer.eval()
        return self

    def parameter_groups(self, *, backbone_rate: float, layer_decay: float | None = None) -> list[dict[str, Any]]:
        """What trains, for an optimizer: the backbone at `backbone_rate` times the rate of the rest.

        With `layer_decay` each stage of the backbone, see `stages`, is a group of its own, whose rate is that many times
        the rate of the stage behind it; behind the last one is the head. Each group has a `name` and a `rate`.
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
