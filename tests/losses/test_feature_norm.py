"""The growth of feature norms: what it pulls, and that nothing becomes infinite."""

import pytest
import torch
from torch.autograd import gradcheck

from acclimate.losses.feature_norm import feature_norm_growth


def features_with_gradient(rows, dtype=torch.float64):
    return torch.tensor(rows, dtype=dtype, requires_grad=True)


def test_value_is_the_squared_step_whatever_the_features():
    assert feature_norm_growth(torch.tensor([[3.0, 4.0], [1e-3, 0.0]]), step=0.5).item() == pytest.approx(0.25)


def test_pull_by_hand():
    # The norm of (3, 4) is 5, its direction (0.6, 0.8); each of two samples is pulled by 2 · step / 2.
    features = features_with_gradient([[3.0, 4.0], [0.0, 2.0]])
    feature_norm_growth(features, step=1.5).backward()
    torch.testing.assert_close(features.grad, torch.tensor([[-0.9, -1.2], [0.0, -1.5]], dtype=torch.float64))


def test_pull_does_not_depend_on_the_length():
    """The present norm is a constant: with it the gradient would vanish."""
    short, long = features_with_gradient([[0.3, 0.4]]), features_with_gradient([[300.0, 400.0]])
    for features in (short, long):
        feature_norm_growth(features).backward()
    torch.testing.assert_close(short.grad, long.grad)


def test_order_of_samples_does_not_matter():
    features = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for rows in (torch.arange(6), torch.tensor([5, 3, 1, 0, 2, 4])):
        leaf = features[rows].requires_grad_()
        feature_norm_growth(leaf).backward()
        gradients.append(leaf.grad[rows.argsort()])
    torch.testing.assert_close(*gradients)


def test_gradient_is_that_of_a_distance_to_a_fixed_norm():
    features = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    goal = features.detach().norm(dim=1) + 1.0

    def distance(values):
        return (values.norm(dim=1) - goal).square().mean()

    assert gradcheck(distance, features)
    torch.testing.assert_close(*(torch.autograd.grad(loss, features)[0] for loss in (feature_norm_growth(features), distance(features))))


def test_features_of_zero_get_a_finite_gradient():
    features = features_with_gradient([[0.0, 0.0], [0.0, 1.0]])
    feature_norm_growth(features).backward()
    assert features.grad.tolist() == [[0.0, 0.0], [0.0, -1.0]]


@pytest.mark.parametrize("value", [1e4, -1e4])
def test_bf16_features_of_ten_thousand_give_finite_values_and_gradients(value):
    features = torch.full((3, 5), value, dtype=torch.bfloat16, requires_grad=True)
    loss = feature_norm_growth(features)
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert features.grad.isfinite().all()
    assert features.grad.any()


@pytest.mark.parametrize(("features", "step", "message"), [(torch.ones(2, 2), 0.0, "above 0"), (torch.ones(2), 1.0, r"\(N, D\)")])
def test_arguments_that_make_no_sense_are_refused(features, step, message):
    with pytest.raises(ValueError, match=message):
        feature_norm_growth(features, step=step)
