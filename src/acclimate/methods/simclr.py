"""Contrastive learning of both domains together (SimCLR)."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.losses.contrastive import nt_xent
from acclimate.methods.base import Method
from acclimate.nn.batch_norm import predict_domains
from acclimate.nn.classifier import Classifier
from acclimate.types import DomainBatch, Prediction


class SimClr(Method):
    """Two random views of an image are to be more alike than views of different images, whichever domain these are from.

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, Algorithm 1, on the
    images of source and target in one batch. The projector has one hidden layer, as in section 2.1, and stays behind:
    what trains on with `init_from` takes the features in front of it.

    Args:
        classifier: Its features are trained, its head is not.
        temperature: τ of `nt_xent`, above 0.
        projector_width: Units in the projector's hidden layer.
        num_projected: Dimensions of the space in which views are compared.
        **common: What `Method` takes.

    Raises:
        ConfigError: If a value is out of its range.
    """

    self_supervised: ClassVar[bool] = True
    takes_target_labels: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = True

    def __init__(
        self,
        classifier: Classifier,
        *,
        temperature: float = 0.5,
        projector_width: int = 256,
        num_projected: int = 128,
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        if temperature <= 0:
            raise ConfigError(f"method.temperature must be above 0, but is {temperature}.")
        self.temperature = temperature
        self.projector = nn.Sequential(
            nn.Linear(classifier.num_features, projector_width), nn.ReLU(), nn.Linear(projector_width, num_projected)
        )

    def losses(self, batch: DomainBatch, source: Prediction, target: Prediction | None) -> dict[str, Tensor]:
        assert target is not None and batch.target is not None and batch.source.second_view is not None
        others = predict_domains(self.classifier, batch.source.second_view, batch.target.views[1], batch_norm=self.batch_norm)
        views = (torch.cat([prediction.features for prediction in domains]) for domains in ((source, target), others))
        first, second = (self.projector(view) for view in views)
        return {"contrastive": nt_xent(first, second, temperature=self.temperature)}
