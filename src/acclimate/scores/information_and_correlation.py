"""Two scores that overrate different models, as one."""

import math

from torch import Tensor

from acclimate.scores.class_correlation import CorrelationWithIdentity
from acclimate.scores.information import Information
from acclimate.scores.mean_score import MeanScore


class RelativeInformation(Information):
    """`Information` as a share of log K, its largest value: in [0, 1]."""

    name = "relative_information"

    def value(self) -> Tensor:
        return super().value() / math.log(len(self.probabilities))


class InformationAndCorrelation(MeanScore):
    """The mean of `RelativeInformation` and `CorrelationWithIdentity`, in [1 / (2 sqrt(K)), 1].

    Information rises as predictions become more certain, so it prefers methods that train for certainty, right or wrong,
    and hardly sees that classes are somewhat too frequent or too rare. Correlation sees that, but much less how certain the
    predictions are. A model that has collapsed to one class gets the lowest value of both.
    """

    name = "information_corr_c"

    def __init__(self) -> None:
        super().__init__([RelativeInformation(), CorrelationWithIdentity()], name=self.name)
