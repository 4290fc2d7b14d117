"""Contrastive learning on both domains (SimCLR)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from acclimate.losses.contrastive import nt_xent
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, Positive
from acclimate.types import LabelledPass, Needs, UnlabelledPass

Negatives = Literal["domain", "batch"]


class SimClr(Method):
    """Contrastive learning: two random views of an input become more similar than views of different inputs.

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, Algorithm 1, on the
    inputs of source and target. The projector has one hidden layer, as in section 2.1. It is not part of the classifier: a
    later run with `init_from` starts from the features.

    Args:
        classifier: The model whose features are trained; its head is not.
        negatives: Origin of the negatives: `domain` uses only inputs of the same domain, so that the features do not learn
            to tell the domains apart (Thota and Leontidis, "Contrastive Domain Adaptation", CVPR Workshops 2021, Eq. 2);
            `batch` uses inputs of both domains.
        temperature: τ of `nt_xent`, above 0.
        projector_width: Units in the projector's hidden layer.
        num_projected: Dimensions of the projection.
        **common: Arguments of `Method`.
    """

    needs = Needs(source="unlabelled", views="pair", target_labels=False)

    def __init__(
        self,
        classifier: Classifier,
        *,
        negatives: Negatives = "domain",
        temperature: Positive = 0.5,
        projector_width: Count = 256,
        num_projected: Count = 128,
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        self.negatives = negatives
        self.temperature = temperature
        self.projector = nn.Sequential(
            nn.Linear(classifier.num_features, projector_width), nn.ReLU(), nn.Linear(projector_width, num_projected)
        )

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        others = self.predict_domains(source.views[1], target.views[1])
        first, second = ([self.projector(prediction.features) for prediction in domains] for domains in ((source, target), others))
        if self.negatives == "batch":
            first, second = [torch.cat(first)], [torch.cat(second)]
        losses = [nt_xent(*views, temperature=self.temperature) for views in zip(first, second, strict=True)]
        return {"contrastive": torch.stack(losses).mean()}
