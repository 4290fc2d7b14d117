"""Effective rank by hand and against a singular value decomposition."""

import math

import pytest
import torch

from acclimate.scores import feature_rank
from acclimate.scores.feature_rank import RankMe
from acclimate.types import Prediction


def rank(features, *, batch_size=1000):
    score = RankMe()
    for batch in features.split(batch_size):
        score.update("target", Prediction(batch, torch.zeros(len(batch), 2)), None)
    return float(score.compute())


def test_singular_values_of_three_and_one():
    # They become 3/4 and 1/4.
    assert rank(torch.tensor([[3.0, 0.0], [0.0, 1.0]])) == pytest.approx(math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4)))


def test_constant_features_have_rank_one_and_zeros_none():
    assert rank(torch.ones(5, 3)) == pytest.approx(1, abs=1e-4)
    assert rank(torch.zeros(5, 3)) == 0


@pytest.mark.parametrize("shape", [(30, 8), (5, 12)])
def test_equals_that_of_the_decomposition(shape, monkeypatch):
    monkeypatch.setattr(feature_rank, "BLOCK", 7)
    features = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    shares = torch.linalg.svdvals(features.double())
    shares /= shares.sum()
    assert rank(features, batch_size=4) == pytest.approx(float(torch.exp(-(shares * shares.log()).sum())), rel=1e-4)


def test_scale_does_not_matter():
    features = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    assert rank(features) == pytest.approx(rank(1000 * features), rel=1e-5)
