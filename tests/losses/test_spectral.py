"""Spectral penalty and shrinkage: values by hand, invariances, gradients, and matrices without distinct singular values."""

import pytest
import torch

from acclimate.losses.spectral import spectral_penalty, spectral_shrinkage


def random_features(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


LOSSES = [spectral_penalty, spectral_shrinkage]


def gradient(features, loss=spectral_penalty, **options):
    features = features.clone().requires_grad_()
    return torch.autograd.grad(loss(features, **options), features)[0]


def test_penalty_by_hand():
    # AᵀA = [[5, 4], [4, 5]] has the eigenvalues 9 and 1.
    features = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    assert spectral_penalty(features).item() == pytest.approx(9.0)
    assert spectral_penalty(features, num_values=2).item() == pytest.approx(10.0)


def test_shrinkage_by_hand():
    features = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    assert spectral_shrinkage(features).item() == pytest.approx(1.0)
    assert spectral_shrinkage(features, num_values=2).item() == pytest.approx(10.0)


def test_shrinkage_takes_what_the_penalty_leaves():
    features = random_features(6, 4)
    for num_values in (1, 2, 3):
        rest = features.square().sum() - spectral_penalty(features, num_values=4 - num_values)
        torch.testing.assert_close(spectral_shrinkage(features, num_values=num_values), rest)


def test_step_down_the_shrinkage_shrinks_the_smallest_direction_alone():
    features = random_features(6, 3)
    before, after = (torch.linalg.svdvals(matrix) for matrix in (features, features - 0.1 * gradient(features, spectral_shrinkage)))
    torch.testing.assert_close(after, before * torch.tensor([1.0, 1.0, 0.8], dtype=torch.float64))


@pytest.mark.parametrize("loss", LOSSES)
def test_all_values_together_are_the_sum_of_squares(loss):
    features = random_features(4, 6)
    torch.testing.assert_close(loss(features, num_values=4), features.square().sum())
    torch.testing.assert_close(gradient(features, loss, num_values=4), 2 * features)


@pytest.mark.parametrize("loss", LOSSES)
def test_order_of_samples_and_rotations_do_not_matter(loss):
    features, rotation = random_features(5, 3), torch.linalg.qr(random_features(3, 3)).Q
    for other in (features[torch.tensor([3, 0, 4, 1, 2])], features @ rotation):
        torch.testing.assert_close(loss(other, num_values=2), loss(features, num_values=2))


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
@pytest.mark.parametrize("num_values", [1, 2])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_the_numerical_one(loss, shape, num_values):
    assert torch.autograd.gradcheck(lambda features: loss(features, num_values=num_values), random_features(*shape).requires_grad_())


def test_gradient_is_the_numerical_one_where_the_rank_is_deficient():
    features = random_features(5, 1) @ random_features(1, 3)
    assert torch.autograd.gradcheck(spectral_penalty, features.requires_grad_())


@pytest.mark.parametrize("loss", LOSSES)
def test_zero_features_have_no_gradient(loss):
    assert not gradient(torch.zeros(4, 3), loss).any()


def test_features_in_one_direction_have_nothing_to_shrink():
    features = random_features(5, 1) @ random_features(1, 3)
    torch.testing.assert_close(gradient(features, spectral_shrinkage), torch.zeros_like(features))


def test_repeated_values_have_a_finite_gradient_that_is_a_subgradient():
    found = gradient(torch.eye(4), num_values=1)
    assert found.isfinite().all()
    # 2 · u · vᵀ of unit vectors with uᵀ I v = 1.
    assert torch.linalg.svdvals(found).tolist() == pytest.approx([2.0, 0.0, 0.0, 0.0], abs=1e-6)
    assert found.trace().item() == pytest.approx(2.0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("pattern", [torch.ones(64, 128), torch.eye(64, 128), torch.ones(64, 128).tril()])
@pytest.mark.parametrize("loss", LOSSES)
def test_bf16_features_of_ten_thousand_give_finite_values_and_gradients(loss, sign, pattern):
    features = (sign * 1e4 * pattern).bfloat16()
    assert loss(features).isfinite()
    assert gradient(features, loss).isfinite().all()


def test_autocast_changes_nothing():
    features = torch.randn(64, 128, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = spectral_penalty(features)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, spectral_penalty(features.float()), rtol=0, atol=0)
    torch.testing.assert_close(torch.autograd.grad(found, features)[0], gradient(features.detach()), rtol=0, atol=0)


@pytest.mark.parametrize("num_values", [0, 4])
@pytest.mark.parametrize("loss", LOSSES)
def test_more_values_than_there_are_or_none_are_refused(loss, num_values):
    with pytest.raises(ValueError, match="num_values"):
        loss(torch.zeros(5, 3), num_values=num_values)


@pytest.mark.parametrize("loss", LOSSES)
def test_features_must_be_a_matrix(loss):
    with pytest.raises(ValueError, match=r"\(N, D\)"):
        loss(torch.zeros(4))
