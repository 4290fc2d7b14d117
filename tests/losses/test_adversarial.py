"""Losses of a domain discriminator: values by hand, invariances, gradients, and logits beyond reason."""

import math

import pytest
import torch
from torch.nn import functional as F

from acclimate.losses.adversarial import certainty_weights, domain_accuracy, domain_confusion, inverted_labels


def random_logits(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_confusion_by_hand():
    # The source sample is taken for source with 3/4, the target samples with 1/2 and 3/4.
    logits = torch.tensor([math.log(3), 0.0, math.log(3)])
    assert domain_confusion(logits, num_source=1).item() == pytest.approx(0.5 * math.log(4 / 3) + 0.25 * (math.log(2) + math.log(4)))


def test_confusion_of_equal_batches_is_binary_cross_entropy():
    logits, domains = random_logits(6), torch.tensor([1.0] * 3 + [0.0] * 3, dtype=torch.float64)
    torch.testing.assert_close(domain_confusion(logits, num_source=3), F.binary_cross_entropy_with_logits(logits, domains))


def test_confusion_does_not_depend_on_how_many_copies_a_domain_has():
    logits = random_logits(5)
    doubled = torch.cat([logits[:2], logits[2:], logits[2:]])
    torch.testing.assert_close(domain_confusion(doubled, num_source=2), domain_confusion(logits, num_source=2))


def test_weights_by_hand():
    # Both domains: one sample costs log 2, the other log 4 and has three times the weight.
    logits, weights = torch.tensor([0.0, -math.log(3), 0.0, math.log(3)]), torch.tensor([1.0, 3.0, 2.0, 6.0])
    assert domain_confusion(logits, num_source=2, weights=weights).item() == pytest.approx(1.75 * math.log(2))


def test_equal_weights_are_no_weights_also_when_domains_differ_in_them():
    logits, weights = random_logits(7, 1), torch.tensor([3.0] * 4 + [0.1] * 3, dtype=torch.float64)
    torch.testing.assert_close(domain_confusion(logits, num_source=4, weights=weights), domain_confusion(logits, num_source=4))


def test_certainty_weights_are_two_for_certain_and_near_one_for_uniform_predictions():
    weights = certainty_weights(torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]]))
    assert weights.tolist() == pytest.approx([2.0, 4 / 3])


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)])
def test_gradients_are_the_numerical_ones(weights):
    assert torch.autograd.gradcheck(
        lambda logits: domain_confusion(logits, num_source=2, weights=weights), random_logits(5, 1).requires_grad_()
    )
    assert torch.autograd.gradcheck(certainty_weights, random_logits(5, 3).requires_grad_())


@pytest.mark.parametrize("sign", [1, -1])
def test_bf16_logits_of_ten_thousand_give_finite_values_and_gradients(sign):
    logits = (sign * torch.tensor([[1e4], [-1e4], [1e4], [-1e4]])).bfloat16().requires_grad_()
    loss = domain_confusion(logits, num_source=2, weights=torch.ones(4))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    classes = (sign * torch.tensor([[1e4, -1e4], [1e4, 1e4]])).bfloat16().requires_grad_()
    certainty_weights(classes).sum().backward()
    assert certainty_weights(classes).isfinite().all()
    assert classes.grad.isfinite().all()


def test_domain_accuracy_weighs_domains_alike():
    assert domain_accuracy(torch.tensor([1.0, 1.0, 1.0, -1.0, 1.0]), num_source=3).item() == pytest.approx(0.75)


@pytest.mark.parametrize("num_source", [0, 4])
def test_domain_without_a_row_is_refused(num_source):
    with pytest.raises(ValueError, match="num_source"):
        domain_confusion(torch.zeros(4), num_source=num_source)


def test_two_logits_for_a_sample_are_refused():
    with pytest.raises(ValueError, match="one logit per sample"):
        domain_confusion(torch.zeros(4, 2), num_source=2)


def test_inverted_labels_by_hand():
    # Taken for source with 1/2 and 1/4.
    assert inverted_labels(torch.tensor([[0.0], [-math.log(3)]])).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_inverted_labels_are_binary_cross_entropy_with_the_label_of_the_source():
    logits = random_logits(6)
    torch.testing.assert_close(inverted_labels(logits), F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)))
    torch.testing.assert_close(inverted_labels(logits.flip(0)[:, None]), inverted_labels(logits))
    assert torch.autograd.gradcheck(inverted_labels, random_logits(5, 1).requires_grad_())


def test_inverted_labels_teach_most_where_the_discriminator_is_sure_and_right():
    logits = torch.tensor([-1e4, 0.0, 1e4]).bfloat16().requires_grad_()
    loss = inverted_labels(logits)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx((1e4 + math.log(2)) / 3, rel=1e-2)
    assert logits.grad.tolist() == pytest.approx([-1 / 3, -1 / 6, 0.0], rel=1e-2)


@pytest.mark.parametrize("shape", [(4, 2), (0, 1), (2, 1, 1), ()])
def test_inverted_labels_want_one_logit_for_each_sample(shape):
    with pytest.raises(ValueError, match="one logit per sample"):
        inverted_labels(torch.zeros(shape))
