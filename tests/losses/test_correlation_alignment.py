"""CORAL: values by hand, invariances, gradients, and features beyond reason."""

import pytest
import torch
from half_precision import assert_finite_in_bf16

from acclimate.losses.correlation_alignment import correlation_alignment


def random_features(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_alignment_by_hand():
    # Covariances [[2, 2], [2, 2]] of two samples and [[1, 0], [0, 0]] of three.
    source = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
    target = torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    assert correlation_alignment(source, target).item() == pytest.approx((1 + 4 + 4 + 4) / (4 * 2**2))


def test_alignment_is_that_of_the_covariances():
    source, target = random_features(7, 3), random_features(4, 3, seed=1)
    expected = torch.linalg.matrix_norm(torch.cov(source.T) - torch.cov(target.T)).square() / 36
    torch.testing.assert_close(correlation_alignment(source, target), expected)


def test_means_do_not_matter():
    source = random_features(7, 3)
    assert correlation_alignment(source, source + 10).item() == pytest.approx(0, abs=1e-12)


def test_order_of_samples_and_rotations_of_the_features_do_not_matter():
    source, target = random_features(7, 3), random_features(4, 3, seed=1)
    rotation = torch.linalg.qr(random_features(3, 3, seed=2)).Q
    value = correlation_alignment(source, target)
    torch.testing.assert_close(correlation_alignment(source.flip(0) @ rotation, target.flip(0) @ rotation), value)
    torch.testing.assert_close(correlation_alignment(target, source), value)


def test_gradients_are_the_numerical_ones():
    sets = (random_features(4, 3).requires_grad_(), random_features(3, 3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(correlation_alignment, sets)


@pytest.mark.parametrize("pattern", ["spread", "all equal"])
def test_bf16_features_of_ten_thousand_give_finite_values_and_gradients(pattern):
    signs = torch.randint(0, 2, (8, 6), generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    features = 1e4 * (signs if pattern == "spread" else torch.ones(8, 6))
    assert_finite_in_bf16(correlation_alignment, features[:4], features[4:])


def test_autocast_changes_nothing():
    source, target = random_features(7, 6).float(), random_features(4, 6, seed=1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = correlation_alignment(source, target)
    assert torch.equal(inside, correlation_alignment(source, target))


@pytest.mark.parametrize("sizes", [(1, 3), (3, 1)])
def test_domain_with_one_sample_is_refused(sizes):
    with pytest.raises(ValueError, match="two samples"):
        correlation_alignment(torch.zeros(sizes[0], 2), torch.zeros(sizes[1], 2))
