"""Deep joint distribution optimal transport (DeepJDOT)."""

from typing import Any

from torch import Tensor

from acclimate.losses.optimal_transport import joint_transport_costs
from acclimate.methods.base import Method
from acclimate.methods.parts.transport_plan import transport_plan
from acclimate.models.classifier import Classifier
from acclimate.ranges import NonNegative, Positive
from acclimate.schedules import sigmoid_ramp
from acclimate.types import LabelledPass, UnlabelledPass


class DeepJdot(Method):
    """Joint distribution optimal transport: match target samples with source samples in features and labels.

    Damodaran et al., "DeepJDOT: Deep Joint Distribution Optimal Transport for Unsupervised Domain Adaptation", ECCV 2018.
    The plan is solved for each batch, see `transport_plan`, and is a constant for the gradient. As in the published script,
    source batches contain all classes equally often (`data.source_sampling=balanced`, set by the method's config).

    Departures: the script starts from a network trained on the source; here the weight of the transport follows a ramp, and
    `init_from=RUN` of a `source_only` run gives such a start. The script's plan compares labels by the squared distance of
    probabilities; here it minimises the loss itself, Eq. 6 of the paper.

    Args:
        classifier: The model to train.
        feature_weight: α, the weight of the squared distances between features, at least 0.
        label_weight: λₜ, the weight of the cross-entropy between source labels and target predictions, at least 0.
        steepness: Steepness of the ramp of both weights, see `sigmoid_ramp`; their ratio, which the plan depends on, is fixed.
        **common: Arguments of `Method`.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        feature_weight: NonNegative = 0.001,
        label_weight: NonNegative = 0.0001,
        steepness: Positive = 10.0,
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        self.feature_weight = feature_weight
        self.label_weight = label_weight
        self.steepness = steepness

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        costs = joint_transport_costs(
            source.features,
            source.labels,
            target.features,
            target.logits,
            feature_weight=self.feature_weight,
            label_weight=self.label_weight,
        )
        strength = sigmoid_ramp(self.progress, steepness=self.steepness)
        self.log("adaptation/strength", strength)
        return {
            "transport": strength * (transport_plan(costs) * costs).sum(),
        }
