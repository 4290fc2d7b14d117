"""Soft neighbourhood density by hand."""

import math

import pytest
import torch

from acclimate.scores import soft_neighbourhood
from acclimate.scores.soft_neighbourhood import SoftNeighbourhoodDensity, soft_neighbourhood_density


def test_three_images_of_which_two_are_alike():
    logits = 200.0 * torch.eye(2)[[0, 0, 1]]
    # The third has two neighbours at the same distance. The others prefer each other by exp(1 / temperature) = 2.
    expected = (math.log(2) + 2 * (2 / 3 * math.log(3 / 2) + 1 / 3 * math.log(3))) / 3
    assert soft_neighbourhood_density(logits, temperature=1 / math.log(2)).item() == pytest.approx(expected)


def test_dense_clusters_have_a_higher_density_than_predictions_that_are_all_different():
    generator = torch.Generator().manual_seed(0)
    clusters = 20 * torch.eye(4).repeat(10, 1)
    scattered = 2 * torch.randn(40, 4, generator=generator)
    assert soft_neighbourhood_density(clusters) > soft_neighbourhood_density(scattered)
    # Ten certain images of each class: nine neighbours.
    assert soft_neighbourhood_density(clusters).item() == pytest.approx(math.log(9), abs=1e-3)


def test_blocks_change_nothing(monkeypatch):
    logits = torch.randn(25, 4, generator=torch.Generator().manual_seed(0))
    expected = soft_neighbourhood_density(logits)
    monkeypatch.setattr(soft_neighbourhood, "BLOCK", 7)
    torch.testing.assert_close(soft_neighbourhood_density(logits), expected)


@pytest.mark.parametrize(
    "build", [lambda: soft_neighbourhood_density(torch.zeros(3, 2), temperature=0.0), lambda: SoftNeighbourhoodDensity(0.0)]
)
def test_temperature_must_be_positive(build):
    with pytest.raises(ValueError, match="above 0"):
        build()
