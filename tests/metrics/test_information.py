"""Certainty and diversity by hand."""

import math

import pytest
import torch

from acclimate.metrics.information import Diversity, Information, TargetEntropy
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
