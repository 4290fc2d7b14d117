"""Joint adaptation networks (JAN)."""

from collections.abc import Sequence
from typing import Annotated, Any

from annotated_types import Len
from torch import Tensor

from acclimate.losses.kernel_discrepancy import bandwidth_family, joint_maximum_mean_discrepancy
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.ranges import NonNegative, Positive
from acclimate.schedules import sigmoid_ramp
from acclimate.types import LabelledPass, UnlabelledPass


class Jan(Method):
    """Joint adaptation networks: minimise the discrepancy between the domains' joint distributions of features and classes.

    Long et al., "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017, without its adversarial variant.
    As in the paper, the discrepancy also has a gradient for the head.

    Args:
        classifier: The model to train.
        discrepancy_weight: Final weight of the discrepancy, at least 0.
        steepness: Steepness of the ramp, see `sigmoid_ramp`.
        bandwidth_factors: Widths of the features' kernels, see `bandwidth_family`.
        class_bandwidth: Width of the kernel of the class probabilities, above 0.
        **common: Arguments of `Method`.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        discrepancy_weight: NonNegative = 5.0,
        steepness: Positive = 10.0,
        bandwidth_factors: Annotated[Sequence[Positive], Len(1)] = (0.125, 0.25, 0.5, 1.0, 2.0),
        class_bandwidth: Positive = 0.92,
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        self.discrepancy_weight = discrepancy_weight
        self.steepness = steepness
        self.bandwidth_factors = list(bandwidth_factors)
        self.class_bandwidth = class_bandwidth

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        weight = self.discrepancy_weight * sigmoid_ramp(self.progress, steepness=self.steepness)
        discrepancy = joint_maximum_mean_discrepancy(
            [source.features, source.logits.softmax(dim=1)],
            [target.features, target.logits.softmax(dim=1)],
            bandwidths=[bandwidth_family(source.features, target.features, factors=self.bandwidth_factors), [self.class_bandwidth]],
        )
        self.log("adaptation/weight", weight)
        self.log("adaptation/discrepancy", discrepancy.detach())
        return {
            "discrepancy": weight * discrepancy,
        }
