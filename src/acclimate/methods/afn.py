"""Stepwise adaptive feature norm (SAFN)."""

from typing import Any

from torch import Tensor
from torch.linalg import vector_norm

from acclimate.losses.feature_norm import feature_norm_growth
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.ranges import NonNegative, Positive
from acclimate.types import LabelledPass, UnlabelledPass


class Afn(Method):
    """Adaptive feature norm: the feature norms of both domains grow step by step, because small norms transfer poorly.

    Xu et al., "Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised Domain Adaptation", ICCV
    2019, the stepwise variant (SAFN). As in the published code, the losses of the two domains are added. Dropout is that of
    the classifier, without the paper's correction for norms.

    Args:
        classifier: The model to train.
        norm_weight: Weight of the feature-norm loss, at least 0.
        step: Difference between the desired norm and the current norm, above 0.
        **common: Arguments of `Method`.
    """

    def __init__(self, classifier: Classifier, *, norm_weight: NonNegative = 0.05, step: Positive = 1.0, **common: Any) -> None:
        super().__init__(classifier, **common)
        self.norm_weight = norm_weight
        self.step = step

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        # The loss is constant by construction, so the norms are what shows progress.
        self.log("adaptation/source_norm", vector_norm(source.features.detach().float(), dim=1).mean())
        self.log("adaptation/target_norm", vector_norm(target.features.detach().float(), dim=1).mean())
        growth = feature_norm_growth(source.features, step=self.step) + feature_norm_growth(target.features, step=self.step)
        return {
            "feature_norm": self.norm_weight * growth,
        }
