"""Losses of an adversarial classifier: values by hand, invariances, gradients, and logits beyond reason."""

import math

import pytest
import torch
from torch.nn import functional as F

from acclimate.losses.margin_disparity import log_other_probability, margin_disparity

CLASSES = torch.tensor([0, 2, 1, 1, 0])


def random_logits(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def disparity(source, target, *, source_classes=CLASSES, target_classes=CLASSES, **options):
    return margin_disparity(
        source, target, source_classes=source_classes[: len(source)], target_classes=target_classes[: len(target)], **options
    )


def test_disparity_by_hand():
    # On the source the predicted classes have 1/4 and 1/2, on the target 3/4.
    source = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64).log()
    target = torch.tensor([[0.75, 0.25]], dtype=torch.float64).log()
    found = margin_disparity(source, target, source_classes=torch.tensor([0, 1]), target_classes=torch.tensor([0]), margin=2.0)
    assert found.item() == pytest.approx(2 * (math.log(4) + math.log(2)) / 2 + math.log(4))


def test_log_of_the_other_classes_is_that_of_one_minus_the_probability():
    logits = random_logits(5, 3)
    naive = (1 - F.softmax(logits, dim=1)).log().gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(log_other_probability(logits, CLASSES), naive)


def test_log_of_the_other_classes_is_finite_and_exact_where_the_probability_rounds_to_one():
    logits = torch.tensor([[40.0, 0.0, 0.0]], requires_grad=True)
    assert (1 - F.softmax(logits, dim=1))[0, 0] == 0
    found = log_other_probability(logits, torch.tensor([0]))
    assert found.item() == pytest.approx(math.log(2) - 40)
    found.sum().backward()
    assert logits.grad.tolist() == [pytest.approx([-1.0, 0.5, 0.5])]


def test_adversary_wants_the_predicted_class_on_the_source_and_any_other_on_the_target():
    source, target = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    disparity(source, target).backward()
    predicted = F.one_hot(CLASSES[:2], 3).bool()
    assert (source.grad[predicted] < 0).all()
    assert (source.grad[~predicted] > 0).all()
    assert (target.grad[predicted] > 0).all()
    assert (target.grad[~predicted] < 0).all()


def test_order_and_copies_of_samples_do_not_matter():
    source, target, order = random_logits(5, 3), random_logits(4, 3, seed=1), torch.tensor([3, 0, 4, 1, 2])
    expected = disparity(source, target)
    torch.testing.assert_close(disparity(source[order], target, source_classes=CLASSES[order]), expected)
    twice = torch.cat([CLASSES[:4], CLASSES[:4]])
    torch.testing.assert_close(disparity(source, torch.cat([target, target]), target_classes=twice), expected)


def test_constant_added_to_a_sample_does_not_matter():
    source, target = random_logits(5, 3), random_logits(4, 3, seed=1)
    torch.testing.assert_close(disparity(source + random_logits(5, 1), target + random_logits(4, 1)), disparity(source, target))


def test_gradients_are_the_numerical_ones():
    inputs = (random_logits(5, 3).requires_grad_(), random_logits(4, 3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(disparity, inputs)


@pytest.mark.parametrize("sign", [1, -1])
def test_bf16_logits_of_ten_thousand_give_finite_values_and_gradients(sign):
    logits = [(sign * 1e4 * torch.tensor([[1.0, -1.0, -1.0], [1.0, 1.0, -1.0]])).bfloat16().requires_grad_() for _ in range(2)]
    for source_class in range(3):
        loss = disparity(*logits, source_classes=torch.full((2,), source_class), target_classes=torch.full((2,), source_class))
        gradients = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_bf16_logits_are_computed_in_float32():
    logits = random_logits(5, 3).bfloat16()
    assert disparity(logits, logits).dtype == torch.float32
    torch.testing.assert_close(disparity(logits, logits), disparity(logits.float(), logits.float()), rtol=0, atol=0)


@pytest.mark.parametrize("margin", [0.0, -1.0])
def test_margin_must_be_positive(margin):
    with pytest.raises(ValueError, match="above 0"):
        disparity(torch.zeros(2, 3), torch.zeros(2, 3), margin=margin)


@pytest.mark.parametrize("shape", [(2, 1), (2,)])
def test_there_must_be_two_classes(shape):
    with pytest.raises(ValueError, match="K at least 2"):
        log_other_probability(torch.zeros(shape), CLASSES[:2])


def test_there_must_be_a_class_for_each_sample():
    with pytest.raises(ValueError, match="one class for each of 2"):
        log_other_probability(torch.zeros(2, 3), CLASSES)
