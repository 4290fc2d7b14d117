"""The Wasserstein estimate, the points between two domains, and the penalty on a critic's slope."""

import pytest
import torch
from torch import nn

from acclimate.losses.wasserstein import gradient_penalty, interpolates, wasserstein_estimate


def random_values(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def smooth_critic():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).double()


def test_estimate_by_hand():
    assert wasserstein_estimate(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([[4.0], [-2.0]])).item() == pytest.approx(2.0)


def test_estimate_depends_neither_on_order_nor_on_a_constant():
    source, target = random_values(5, 1), random_values(3, 1, seed=1)
    expected = wasserstein_estimate(source, target)
    torch.testing.assert_close(wasserstein_estimate(source.flip(0) + 7, target.flip(0) + 7), expected)
    torch.testing.assert_close(wasserstein_estimate(target, source), -expected)


def test_gradients_are_the_numerical_ones():
    assert torch.autograd.gradcheck(wasserstein_estimate, (random_values(5).requires_grad_(), random_values(3, 1).requires_grad_()))
    positions = torch.rand(5, dtype=torch.float64)
    domains = (random_values(5, 4).requires_grad_(), random_values(3, 4).requires_grad_())
    assert torch.autograd.gradcheck(lambda *both: interpolates(*both, positions=positions), domains)


def test_interpolates_pair_the_shorter_domain_again_and_again():
    source, target = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.full((5, 2), 10.0)
    found = interpolates(source, target, positions=torch.ones(5))
    assert found[:, 0].tolist() == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert interpolates(source, target, positions=torch.zeros(5)).tolist() == target.tolist()
    assert interpolates(target, source, positions=torch.full((5,), 0.5))[:, 0].tolist() == [5.0, 5.5, 5.0, 5.5, 5.0]


def test_penalty_by_hand():
    # The slope of the squared norm is twice the distance from 0: 10 and 1.
    points = torch.tensor([[3.0, 4.0], [0.5, 0.0]])
    assert gradient_penalty(lambda features: features.square().sum(dim=1), points).item() == pytest.approx((9**2 + 0**2) / 2)


def test_penalty_does_not_depend_on_the_order_and_is_zero_for_a_slope_of_one():
    critic, features = smooth_critic(), random_values(6, 4)
    torch.testing.assert_close(gradient_penalty(critic, features.flip(0)), gradient_penalty(critic, features))
    direction = nn.functional.normalize(random_values(4), dim=0)
    assert gradient_penalty(lambda points: points @ direction, features).item() == pytest.approx(0.0, abs=1e-20)


def test_penalty_trains_the_critic_by_its_numerical_gradient_and_not_the_features():
    critic, features = smooth_critic(), random_values(3, 4).requires_grad_()
    first, second = critic[0].weight, critic[2].weight

    def penalty(first_weight, second_weight):
        return gradient_penalty(lambda points: torch.tanh(points @ first_weight.T) @ second_weight.T, features)

    assert torch.autograd.gradcheck(penalty, (first, second))
    assert torch.autograd.grad(gradient_penalty(critic, features), features, allow_unused=True) == (None,)


def test_flat_critic_gets_a_finite_gradient():
    """No unit is active, so the slope is exactly 0, where its norm has no derivative."""
    critic = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
    nn.init.constant_(critic[0].bias, -100.0)
    penalty = gradient_penalty(critic, torch.randn(3, 4))
    assert penalty.item() == 1.0
    gradients = torch.autograd.grad(penalty, [critic[0].weight, critic[2].weight])
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("sign", [1, -1])
def test_bf16_values_of_ten_thousand_give_finite_values_and_gradients(sign):
    scores = (sign * torch.tensor([1e4, -1e4, 1e4])).bfloat16().requires_grad_()
    estimate = wasserstein_estimate(scores, -scores)
    estimate.backward()
    assert estimate.dtype == torch.float32
    assert estimate.isfinite()
    assert scores.grad.isfinite().all()
    weight = torch.full((4, 1), 1e4).bfloat16().requires_grad_()
    penalty = gradient_penalty(lambda points: (points @ weight).relu(), (sign * torch.full((3, 4), 1e4)).bfloat16())
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert penalty.dtype == torch.float32
    assert penalty.isfinite()
    assert gradient.isfinite().all()


def test_penalty_is_the_same_where_gradients_are_off():
    critic, features = smooth_critic(), random_values(3, 4)
    with torch.no_grad():
        found = gradient_penalty(critic, features)
    torch.testing.assert_close(found, gradient_penalty(critic, features).detach())


@pytest.mark.parametrize(("source", "target"), [((4, 2), (3, 1)), ((0, 1), (3, 1)), ((3,), ()), ((2, 2, 1), (2, 1))])
def test_estimate_wants_one_score_for_each_sample(source, target):
    with pytest.raises(ValueError, match="one score per sample"):
        wasserstein_estimate(torch.zeros(source), torch.zeros(target))


@pytest.mark.parametrize(("source", "target", "num"), [((3, 2), (4, 2), 3), ((3, 2), (4, 3), 4), ((0, 2), (4, 2), 4), ((3,), (3,), 3)])
def test_interpolates_of_what_does_not_fit_are_refused(source, target, num):
    with pytest.raises(ValueError, match=r"source \(N, D\), target \(M, D\)"):
        interpolates(torch.zeros(source), torch.zeros(target), positions=torch.zeros(num))


@pytest.mark.parametrize("shape", [(4,), (0, 3), (2, 3, 1)])
def test_penalty_wants_rows_of_features(shape):
    with pytest.raises(ValueError, match=r"features of shape \(N, D\)"):
        gradient_penalty(lambda features: features.sum(dim=-1), torch.zeros(shape))
