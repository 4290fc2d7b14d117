"""Certainty and diversity by hand."""

import math

import pytest
import torch

from acclimate.scores.information import Diversity, Information, TargetEntropy
from acclimate.scores.information_and_correlation import InformationAndCorrelation
from acclimate.types import Prediction

# Two certain images of different classes, and one that could be either.
LOGITS = torch.tensor([[200.0, 0.0], [0.0, 200.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("score", "expected"),
    [(TargetEntropy, -math.log(2) / 3), (Diversity, math.log(2)), (Information, math.log(2) * 2 / 3)],
)
def test_two_certain_images_and_one_uncertain(score, expected):
    metric = score()
    metric.update("target", Prediction(LOGITS, LOGITS), None)
    assert float(metric.compute()) == pytest.approx(expected)


def test_information_and_correlation_count_the_same():
    """Two thirds of log 2, and the cosine of [[5/4, 1/4], [1/4, 5/4]] with the identity: 2.5 / sqrt(3.25 · 2)."""
    metric = InformationAndCorrelation()
    metric.update("target", Prediction(LOGITS, LOGITS), None)
    assert float(metric.compute()) == pytest.approx((2 / 3 + 2.5 / math.sqrt(6.5)) / 2)


def test_neither_certainty_alone_nor_balance_alone_wins():
    """Certain of classes in odd proportions, unsure of even ones, and nearly certain of nearly even ones."""
    certain = torch.diag(torch.full((4,), 200.0))
    odd = certain[[0] * 7 + [1] * 3 + [2] * 1 + [3] * 1]
    even = 0.005 * certain[[0, 1, 2, 3] * 3]
    both = 0.02 * certain[[0] * 4 + [1] * 3 + [2] * 3 + [3] * 2]
    values = {"odd": odd, "even": even, "both": both}
    scores = {name: InformationAndCorrelation() for name in values}
    for name, logits in values.items():
        scores[name].update("target", Prediction(logits, logits), None)
    assert max(scores, key=lambda name: float(scores[name].compute())) == "both"
