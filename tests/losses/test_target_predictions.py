"""Losses on target predictions: values by hand, invariances, gradients, and logits beyond reason."""

import math

import pytest
import torch

from acclimate.losses.target_predictions import (
    batch_nuclear_norm,
    entropy_minimisation,
    information_maximisation,
    minimum_class_confusion,
)

LOSSES = [entropy_minimisation, batch_nuclear_norm, information_maximisation, minimum_class_confusion]
CERTAIN = 200.0


def random_logits(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def logits_of(probabilities):
    return torch.log(torch.tensor(probabilities, dtype=torch.float64))


def test_entropy_of_a_quarter_and_three_quarters():
    expected = (0.25 * math.log(4) + 0.75 * math.log(4 / 3) + math.log(2)) / 2
    assert entropy_minimisation(logits_of([[0.25, 0.75], [0.5, 0.5]])).item() == pytest.approx(expected)


def test_nuclear_norm_of_two_samples():
    # [[0.8, 0.2], [0.2, 0.8]] has the eigenvalues 1 and 0.6.
    assert batch_nuclear_norm(logits_of([[0.8, 0.2], [0.2, 0.8]])).item() == pytest.approx(-1.6 / 2)


def test_nuclear_norm_is_lowest_for_certain_and_balanced_predictions():
    balanced = CERTAIN * torch.eye(3, dtype=torch.float64).repeat(4, 1)
    assert batch_nuclear_norm(balanced).item() == pytest.approx(-math.sqrt(3 / 12))
    collapsed = CERTAIN * torch.eye(3, dtype=torch.float64)[[0] * 12]
    assert batch_nuclear_norm(collapsed).item() == pytest.approx(-math.sqrt(1 / 12))


def test_entropy_alone_does_not_mind_a_collapse():
    collapsed = CERTAIN * torch.eye(3, dtype=torch.float64)[[0] * 12]
    assert entropy_minimisation(collapsed).item() == pytest.approx(0)
    assert information_maximisation(collapsed).item() == pytest.approx(0)


def test_information_of_certain_and_balanced_predictions_is_log_k():
    assert information_maximisation(CERTAIN * torch.eye(3, dtype=torch.float64)).item() == pytest.approx(-math.log(3))


def test_confusion_of_one_sample_by_hand():
    # One sample with 1/4 and 3/4 weighs 1; each row of p pᵀ is p once it is normalised, so 3/4 and 1/4 lie off the diagonal.
    assert minimum_class_confusion(logits_of([[0.25, 0.75]]), temperature=1.0).item() == pytest.approx((0.75 + 0.25) / 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_order_of_samples_and_of_classes_does_not_matter(loss):
    logits = random_logits(7, 4)
    torch.testing.assert_close(loss(logits[torch.randperm(7)][:, [2, 0, 3, 1]]), loss(logits))


@pytest.mark.parametrize("loss", LOSSES)
def test_constant_added_to_a_sample_does_not_matter(loss):
    logits = random_logits(7, 4)
    torch.testing.assert_close(loss(logits + random_logits(7, 1)), loss(logits))


@pytest.mark.parametrize("loss", [entropy_minimisation, batch_nuclear_norm, information_maximisation])
@pytest.mark.parametrize("num_samples", [3, 6])
def test_gradient_is_the_numerical_one(loss, num_samples):
    assert torch.autograd.gradcheck(loss, random_logits(num_samples, 4).requires_grad_())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("pattern", ["spread", "one class", "all equal"])
def test_bf16_logits_of_ten_thousand_give_finite_values_and_gradients(loss, pattern):
    signs = {
        "spread": torch.randint(0, 2, (8, 5), generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0,
        "one class": torch.eye(5)[[0] * 8] * 2 - 1,
        "all equal": torch.ones(8, 5),
    }[pattern]
    logits = (1e4 * signs).to(torch.bfloat16).requires_grad_()
    value = loss(logits)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", [batch_nuclear_norm, minimum_class_confusion])
def test_logits_must_be_a_matrix(loss):
    with pytest.raises(ValueError, match=r"\(N, K\)"):
        loss(torch.zeros(4))


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="above 0"):
        minimum_class_confusion(torch.zeros(4, 2), temperature=0.0)
