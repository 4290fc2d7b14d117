"""Growth of feature norms: values by hand, invariances, gradients, and features that are zero or beyond reason."""

import pytest
import torch

from acclimate.losses.feature_norm import feature_norm_growth


def random_features(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradient(features, **options):
    features = features.clone().requires_grad_()
    return torch.autograd.grad(feature_norm_growth(features, **options), features)[0]


def test_value_is_the_square_of_the_step():
    assert feature_norm_growth(random_features(5, 3), step=3.0).item() == pytest.approx(9.0)


def test_gradient_by_hand():
    # -2 · step / 2 samples along the directions (0.6, 0.8) and (1, 0).
    found = gradient(torch.tensor([[3.0, 4.0], [100.0, 0.0]]), step=0.5)
    torch.testing.assert_close(found, torch.tensor([[-0.3, -0.4], [-0.5, 0.0]]))


def test_every_norm_grows_by_the_same_whatever_its_length():
    features = random_features(5, 3) * torch.tensor([[1e-3], [1.0], [1e3], [1e-3], [1.0]])
    grown = features - 0.01 * gradient(features)
    torch.testing.assert_close(grown.norm(dim=1) - features.norm(dim=1), torch.full((5,), 0.01 * 2 / 5, dtype=torch.float64))


def test_order_of_samples_does_not_matter_and_rotations_turn_the_gradient():
    features, order = random_features(5, 3), torch.tensor([3, 0, 4, 1, 2])
    rotation = torch.linalg.qr(random_features(3, 3)).Q
    torch.testing.assert_close(gradient(features[order]), gradient(features)[order])
    torch.testing.assert_close(gradient(features @ rotation), gradient(features) @ rotation)


def test_gradient_is_the_numerical_one_of_the_loss_whose_radius_is_held_fixed():
    features = random_features(5, 3).requires_grad_()
    radius = features.detach().norm(dim=1) + 0.7

    def held(moved):
        return (moved.norm(dim=1) - radius).square().mean()

    assert torch.autograd.gradcheck(held, features)
    torch.testing.assert_close(gradient(features.detach(), step=0.7), torch.autograd.grad(held(features), features)[0])


def test_features_that_are_all_zero_get_no_gradient_and_spoil_none():
    features = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    torch.testing.assert_close(gradient(features), torch.tensor([[0.0, 0.0], [-0.6, -0.8]]))


@pytest.mark.parametrize("sign", [1, -1])
def test_bf16_features_of_ten_thousand_give_the_step_exactly_and_a_finite_gradient(sign):
    features = (sign * 1e4 * torch.ones(4, 128)).bfloat16()
    # A norm of 113,137 and a tenth is no number of float32.
    growth = feature_norm_growth(features, step=0.1)
    assert growth.dtype == torch.float32
    assert growth.item() == pytest.approx(0.01)
    torch.testing.assert_close(gradient(features).norm(dim=1).float(), torch.full((4,), 0.5), rtol=0.01, atol=0)


@pytest.mark.parametrize("step", [0.0, -1.0])
def test_step_must_be_positive(step):
    with pytest.raises(ValueError, match="above 0"):
        feature_norm_growth(torch.zeros(4, 2), step=step)


def test_features_must_be_a_matrix():
    with pytest.raises(ValueError, match=r"\(N, D\)"):
        feature_norm_growth(torch.zeros(4))
