"""Deep adaptation networks (DAN)."""

from collections.abc import Sequence
from typing import Annotated, Any

from annotated_types import Len
from torch import Tensor

from acclimate.losses.kernel_discrepancy import bandwidth_family, maximum_mean_discrepancy
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.ranges import NonNegative, Positive
from acclimate.types import LabelledPass, UnlabelledPass


class Dan(Method):
    """Deep adaptation networks: minimise the multi-kernel maximum mean discrepancy between the domains' features.

    Long et al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015, with the quadratic unbiased
    estimate instead of the linear one, equal weights of the kernels, and one aligned layer.

    Args:
        classifier: The model to train.
        discrepancy_weight: Weight of the discrepancy, at least 0.
        bandwidth_factors: Widths of the kernels, see `bandwidth_family`.
        **common: Arguments of `Method`.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        discrepancy_weight: NonNegative = 5.0,
        bandwidth_factors: Annotated[Sequence[Positive], Len(1)] = (0.125, 0.25, 0.5, 1.0, 2.0),
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        self.discrepancy_weight = discrepancy_weight
        self.bandwidth_factors = list(bandwidth_factors)

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        bandwidths = bandwidth_family(source.features, target.features, factors=self.bandwidth_factors)
        discrepancy = maximum_mean_discrepancy(source.features, target.features, bandwidths=bandwidths)
        self.log("adaptation/discrepancy", discrepancy.detach())
        return {
            "discrepancy": self.discrepancy_weight * discrepancy,
        }
