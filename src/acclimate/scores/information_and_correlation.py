"""The mean of two scores with different biases."""

import math

from torch import Tensor

from acclimate.scores.class_correlation import CorrelationWithIdentity
from acclimate.scores.information import Information
from acclimate.scores.mean_score import MeanScore


class RelativeInformation(Information):
    """`Information` divided by log K, its largest value, in [0, 1]."""

    name = "relative_information"

    def value(self) -> Tensor:
        return super().value() / math.log(len(self.probabilities))


class InformationAndCorrelation(MeanScore):
    """Mean of `RelativeInformation` and `CorrelationWithIdentity`, in [1 / (2 sqrt(K)), 1].

    Information grows with the certainty of predictions, so it prefers methods that train for certainty, right or wrong, and
    is hardly sensitive to classes that are somewhat too frequent or too rare. Correlation is sensitive to that, but much
    less to certainty. A model that has collapsed to one class gets the lowest value of both.
    """

    name = "information_corr_c"

    def __init__(self) -> None:
        super().__init__([RelativeInformation(), CorrelationWithIdentity()], name=self.name)
