"""The discrepancy of two classifiers."""

import math

import pytest
import torch
from half_precision import assert_finite_in_bf16

from acclimate.losses.classifier_discrepancy import classifier_discrepancy


def random_logits(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_discrepancy_by_hand():
    # 3/4 and 1/4 against 1/2 and 1/2, then the same twice: a quarter for each of two classes, and nothing.
    first, second = torch.tensor([[math.log(3), 0.0], [1.0, 2.0]]), torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert classifier_discrepancy(first, second).item() == pytest.approx(0.125)


def test_discrepancy_is_largest_for_certain_contradiction():
    certain = 1e4 * torch.eye(4)
    assert classifier_discrepancy(certain, certain.roll(1, dims=0)).item() == pytest.approx(2 / 4)
    assert classifier_discrepancy(certain, certain).item() == 0.0


def test_discrepancy_depends_neither_on_order_nor_on_which_classifier_is_which():
    first, second = random_logits(5, 3), random_logits(5, 3, seed=1)
    expected = classifier_discrepancy(first, second)
    torch.testing.assert_close(classifier_discrepancy(second, first), expected)
    torch.testing.assert_close(classifier_discrepancy(first.flip(0), second.flip(0)), expected)
    torch.testing.assert_close(classifier_discrepancy(first.flip(1), second.flip(1)), expected)
    torch.testing.assert_close(classifier_discrepancy(first + random_logits(5, 1), second), expected)


def test_gradient_is_the_numerical_one():
    logits = (random_logits(5, 3).requires_grad_(), random_logits(5, 3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(classifier_discrepancy, logits)


@pytest.mark.parametrize("sign", [1, -1])
def test_bf16_logits_of_ten_thousand_give_finite_values_and_gradients(sign):
    first = sign * torch.tensor([[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]])
    assert_finite_in_bf16(classifier_discrepancy, first, -first)


@pytest.mark.parametrize(("first", "second"), [((2, 3), (2, 4)), ((2, 3), (3, 3)), ((3,), (3,)), ((0, 3), (0, 3))])
def test_shapes_that_do_not_fit_are_refused(first, second):
    with pytest.raises(ValueError, match=r"one shape \(N, K\)"):
        classifier_discrepancy(torch.zeros(first), torch.zeros(second))
