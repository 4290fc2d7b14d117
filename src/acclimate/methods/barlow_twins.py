"""Redundancy reduction on both domains together (Barlow Twins)."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from acclimate.losses.redundancy import redundancy_reduction
from acclimate.methods.base import Method
from acclimate.models.batch_norm import predict_domains
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative
from acclimate.types import DomainBatch, Prediction


class BarlowTwins(Method):
    """Each dimension of the embedding is to agree between two random views of an image, and to differ from all others.

    Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021, Eq. 1 and 2, on the
    images of source and target in one batch. The projector has three linear layers of one width, the first two with
    batch norm, as in section 2.2, and stays behind: what trains on with `init_from` takes the features in front of it.

    Args:
        classifier: Its features are trained, its head is not.
        off_diagonal_weight: λ of `redundancy_reduction`, at least 0.
        projector_width: Units in each layer of the projector.
        **common: What `Method` takes.
    """

    self_supervised: ClassVar[bool] = True
    takes_target_labels: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = True

    def __init__(
        self, classifier: Classifier, *, off_diagonal_weight: NonNegative = 0.005, projector_width: Count = 512, **common: Any
    ) -> None:
        super().__init__(classifier, **common)
        self.off_diagonal_weight = off_diagonal_weight
        width = projector_width
        # Biases would be cancelled, by batch norm and by the centring of the loss.
        self.projector = nn.Sequential(
            *(nn.Linear(classifier.num_features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()),
            *(nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()),
            nn.Linear(width, width, bias=False),
        )

    def losses(self, batch: DomainBatch, source: Prediction, target: Prediction | None) -> dict[str, Tensor]:
        assert target is not None and batch.target is not None and batch.source.second_view is not None
        others = predict_domains(self.classifier, batch.source.second_view, batch.target.views[1], batch_norm=self.batch_norm)
        views = (torch.cat([prediction.features for prediction in domains]) for domains in ((source, target), others))
        first, second = (self.projector(view) for view in views)
        return {"redundancy": redundancy_reduction(first, second, off_diagonal_weight=self.off_diagonal_weight)}
