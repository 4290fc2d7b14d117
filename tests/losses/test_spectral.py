"""The penalty on singular values: values by hand, invariances, gradients, and features beyond reason."""

import pytest
import torch

from acclimate.losses.spectral import spectral_penalty


def random_features(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_penalty_by_hand():
    # The rows (3, 4) and (-4, 3) · 2 are orthogonal, so their lengths 5 and 10 are the singular values.
    features = torch.tensor([[3.0, 4.0], [-8.0, 6.0]])
    assert spectral_penalty(features).item() == pytest.approx(100)
    assert spectral_penalty(features, num_values=2).item() == pytest.approx(125)


def test_all_values_together_are_the_squared_entries():
    features = random_features(4, 6)
    torch.testing.assert_close(spectral_penalty(features, num_values=4), features.square().sum())


def test_order_of_samples_and_rotations_of_the_features_do_not_matter():
    features = random_features(5, 4)
    rotation, _ = torch.linalg.qr(random_features(4, 4))
    torch.testing.assert_close(spectral_penalty(features.flip(0) @ rotation, num_values=2), spectral_penalty(features, num_values=2))


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
@pytest.mark.parametrize("num_values", [1, 2])
def test_gradient_is_the_numerical_one(shape, num_values):
    assert torch.autograd.gradcheck(
        lambda features: spectral_penalty(features, num_values=num_values), random_features(*shape).requires_grad_()
    )


@pytest.mark.parametrize("features", [torch.zeros(4, 3), torch.eye(3), torch.ones(4, 3)], ids=["zero", "repeated", "one direction"])
def test_gradient_is_finite_for_special_features(features):
    leaf = features.clone().requires_grad_()
    spectral_penalty(leaf, num_values=2).backward()
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("value", [1e4, -1e4])
def test_bf16_features_of_ten_thousand_give_finite_values_and_gradients(value):
    features = torch.full((4, 3), value, dtype=torch.bfloat16, requires_grad=True)
    loss = spectral_penalty(features)
    loss.backward()
    assert loss.item() == pytest.approx(12e8, rel=0.01)
    assert features.grad.isfinite().all()


@pytest.mark.parametrize(
    ("features", "num_values", "message"),
    [(torch.ones(3), 1, r"\(N, D\)"), (torch.ones(2, 3), 3, "from 1 to .* 2"), (torch.ones(2, 3), 0, "but is 0")],
)
def test_arguments_that_make_no_sense_are_refused(features, num_values, message):
    with pytest.raises(ValueError, match=message):
        spectral_penalty(features, num_values=num_values)
