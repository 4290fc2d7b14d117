"""Distances between the domains' features, for the curves of a run."""

import pytest
import torch

from acclimate.diagnostics import domain_distance
from acclimate.losses.kernel_discrepancy import bandwidth_family, maximum_mean_discrepancy


def proxy_a_distance(source, target):
    return domain_distance.proxy_a_distance(domain_distance.centred_products(source, target), num_source=len(source))


def feature_discrepancy(source, target):
    return domain_distance.feature_discrepancy(domain_distance.centred_products(source, target), num_source=len(source))


def normal(num, *, width=8, shift=0.0, seed=0):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)) + shift


def test_features_that_a_line_separates_are_as_far_apart_as_can_be():
    assert proxy_a_distance(normal(60), normal(90, shift=5.0, seed=1)) == pytest.approx(2.0)


def test_features_of_one_distribution_are_near_each_other():
    assert proxy_a_distance(normal(400), normal(400, seed=1)) < 0.3
    assert abs(feature_discrepancy(normal(400), normal(400, seed=1))) < 0.01


def test_distances_grow_with_the_shift():
    for distance in (proxy_a_distance, feature_discrepancy):
        values = [float(distance(normal(200), normal(200, shift=shift, seed=1))) for shift in (0.0, 0.3, 1.0)]
        assert values == sorted(values)
        assert values[2] > 5 * max(values[0], 0.02)


@pytest.mark.parametrize(("shift", "least", "most"), [(0.1, 0.0, 0.5), (3.0, 1.9, 2.0)])
def test_a_direction_with_little_variance_hardly_counts_even_if_it_tells_all_samples_apart(shift, least, most):
    source, target = normal(300, width=40), normal(300, width=40, seed=1)
    source[:, 0], target[:, 0] = shift, -shift
    assert least <= proxy_a_distance(source, target) <= most


@pytest.mark.parametrize("origin", [0.0, 100.0])
def test_the_discrepancy_is_that_of_the_loss(origin):
    source, target = normal(40) + origin, normal(30, shift=0.4, seed=1) + origin
    widths = bandwidth_family(source, target, factors=(0.25, 0.5, 1.0, 2.0, 4.0))
    expected = float(maximum_mean_discrepancy(source, target, bandwidths=widths))
    assert feature_discrepancy(source, target) == pytest.approx(expected, abs=1e-5)


def test_of_several_targets_each_is_compared_with_the_source():
    source, right, left = normal(200), normal(200, shift=3.0, seed=1), normal(200, shift=-3.0, seed=2)
    products = domain_distance.centred_products(source, torch.cat([right, left]))
    numbers = torch.tensor([0] * 200 + [0] * 200 + [1] * 200)
    assert domain_distance.proxy_a_distance(products, num_source=200) < 0.5
    mean = (proxy_a_distance(source, right) + proxy_a_distance(source, left)) / 2
    assert domain_distance.proxy_a_distance(products, num_source=200, domains=numbers) == pytest.approx(float(mean), abs=0.05)
    assert mean > 1.9


def test_a_domain_with_more_samples_counts_no_more():
    """A classifier that answers `source` to everything is right for nine of ten samples, and no better than a coin."""
    assert proxy_a_distance(normal(360), normal(40, seed=1)) < 0.6


@pytest.mark.parametrize("distance", [proxy_a_distance, feature_discrepancy])
def test_the_scale_of_the_features_does_not_matter(distance):
    source, target = normal(50), normal(50, shift=0.5, seed=1)
    assert distance(1000 * source, 1000 * target) == pytest.approx(float(distance(source, target)), rel=1e-3)


def test_features_that_are_all_alike_are_not_apart():
    assert proxy_a_distance(torch.ones(10, 3), torch.ones(10, 3)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("num", [2, 3, 50])
def test_features_that_are_constant_but_for_rounding_break_nothing(num):
    for constant in (0.1, 1e-30, 1e8):
        features = torch.full((num, 6), constant)
        features[0, 0] += constant * 1e-7
        assert 0 <= proxy_a_distance(features, torch.full((2, 6), constant)) <= 2


@pytest.mark.parametrize("source", [normal(1), torch.full((5, 8), torch.nan), torch.empty(0, 8)])
def test_no_distance_of_too_few_or_broken_features(source):
    assert proxy_a_distance(source, normal(5)).isnan()
    assert feature_discrepancy(source, normal(5)).isnan()
