"""Redundancy reduction on both domains together (Barlow Twins)."""

from typing import Any

import torch
from torch import Tensor, nn

from acclimate.losses.redundancy import redundancy_reduction
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative
from acclimate.types import LabelledPass, Needs, UnlabelledPass


class BarlowTwins(Method):
    """Barlow Twins: each dimension of the embedding agrees between two random views of an input and differs from the others.

    Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021, Eq. 1 and 2, on the
    inputs of source and target in one batch. The projector has three linear layers of equal width, the first two with
    batch norm, as in section 2.2. It is not part of the classifier: a later run with `init_from` starts from the features.

    Args:
        classifier: The model whose features are trained; its head is not.
        off_diagonal_weight: λ of `redundancy_reduction`, at least 0.
        projector_width: Units in each layer of the projector.
        **common: Arguments of `Method`.
    """

    needs = Needs(source="unlabelled", views="pair", target_labels=False)

    def __init__(
        self, classifier: Classifier, *, off_diagonal_weight: NonNegative = 0.005, projector_width: Count = 512, **common: Any
    ) -> None:
        super().__init__(classifier, **common)
        self.off_diagonal_weight = off_diagonal_weight
        width = projector_width
        # No biases: batch norm and the centring in the loss would cancel them.
        self.projector = nn.Sequential(
            *(nn.Linear(classifier.num_features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()),
            *(nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()),
            nn.Linear(width, width, bias=False),
        )

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        others = self.predict_domains(source.views[1], target.views[1])
        views = (torch.cat([prediction.features for prediction in domains]) for domains in ((source, target), others))
        first, second = (self.projector(view) for view in views)
        return {"redundancy": redundancy_reduction(first, second, off_diagonal_weight=self.off_diagonal_weight)}
