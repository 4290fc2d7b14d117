"""The Hopkins statistic of features that are known, and the two terms together."""

import pytest
import torch
from predictions import good_model

from acclimate.scores.transfer_score import hopkins_statistic, transferability_and_discriminability


def uniform(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def test_uniform_features_do_not_cluster():
    assert hopkins_statistic(uniform(2000, 2)).item() == pytest.approx(0.5, abs=0.07)


def test_features_in_two_points_cluster_completely():
    features = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(20, 1)
    assert hopkins_statistic(features).item() == pytest.approx(1)


@pytest.mark.parametrize("features", [torch.ones(5, 3), torch.ones(1, 3)])
def test_one_place_says_nothing(features):
    assert hopkins_statistic(features).item() == 0.5


def test_scale_and_place_do_not_matter():
    features = uniform(200, 3)
    torch.testing.assert_close(hopkins_statistic(100 * features + 7), hopkins_statistic(features), atol=1e-4, rtol=0)


def test_certain_and_diverse_predictions_of_two_clusters_have_the_highest_value():
    classes = torch.eye(2).repeat(20, 1)
    assert transferability_and_discriminability(classes, 200 * classes).item() == pytest.approx(2)


def test_clusters_beat_noise():
    assert hopkins_statistic(good_model().target.features) > hopkins_statistic(uniform(60, 6))
