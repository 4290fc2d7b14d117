"""The costs of joint transport: values by hand, invariances, gradients, and values beyond reason."""

import math

import pytest
import torch
from torch.nn import functional as F

from acclimate.losses.optimal_transport import joint_transport_costs

LABELS = torch.tensor([0, 2, 1])


def random_values(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def costs(source, target, logits, **weights):
    return joint_transport_costs(source, LABELS, target, logits, **({"feature_weight": 0.5, "label_weight": 2.0} | weights))


def test_costs_by_hand():
    features, labels = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1])
    logits = torch.log(torch.tensor([[0.25, 0.75]]))
    found = joint_transport_costs(features, labels, torch.tensor([[0.0, 2.0]]), logits, feature_weight=0.5, label_weight=3.0)
    expected = torch.tensor([[0.5 * 4 + 3 * math.log(4)], [0.5 * 2 + 3 * math.log(4 / 3)]])
    torch.testing.assert_close(found, expected)


def test_label_costs_are_cross_entropies():
    logits = random_values(4, 3)
    found = costs(random_values(3, 5), random_values(4, 5), logits, feature_weight=0.0, label_weight=1.0)
    for sample, label in enumerate(LABELS):
        torch.testing.assert_close(found[sample], F.cross_entropy(logits, label.expand(4), reduction="none"))


def test_costs_follow_the_order_of_samples():
    source, target, logits = random_values(3, 5), random_values(4, 5, seed=1), random_values(4, 3)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(costs(source, target[order], logits[order]), costs(source, target, logits)[:, order])


def test_gradients_are_the_numerical_ones():
    values = (random_values(3, 2), random_values(4, 2, seed=1), random_values(4, 3, seed=2))
    values[1][0] = values[0][0]
    assert torch.autograd.gradcheck(costs, tuple(value.requires_grad_() for value in values))


@pytest.mark.parametrize("sign", [1, -1])
def test_bf16_values_of_ten_thousand_give_finite_costs_and_gradients(sign):
    values = [(sign * 1e4 * value.sign()).to(torch.bfloat16) for value in (random_values(3, 2), random_values(4, 2, seed=1))]
    values.append((sign * 1e4 * random_values(4, 3, seed=2).sign()).to(torch.bfloat16))
    found = costs(*[value.requires_grad_() for value in values])
    found.sum().backward()
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert all(value.grad.isfinite().all() for value in values)


def test_costs_of_half_precision_are_computed_in_single():
    values = [value.bfloat16() for value in (random_values(3, 2), random_values(4, 2, seed=1), random_values(4, 3, seed=2))]
    assert torch.equal(costs(*values), costs(*[value.float() for value in values]))


@pytest.mark.parametrize("wrong", ["labels", "logits"])
def test_every_sample_needs_its_label_or_logits(wrong):
    source = torch.zeros(2 if wrong == "labels" else 3, 2)
    with pytest.raises(ValueError, match="Expected a label for each"):
        costs(source, torch.zeros(4, 2), torch.zeros(1 if wrong == "logits" else 4, 3))


def test_rows_of_shares_cost_as_much_as_the_labels_that_they_are_made_of():
    source, labels, target, logits = torch.rand(3, 2), torch.tensor([0, 2, 1]), torch.rand(4, 2), torch.randn(4, 3)
    weights = {"feature_weight": 0.5, "label_weight": 2.0}
    numbers = joint_transport_costs(source, labels, target, logits, **weights)
    rows = torch.eye(3)[labels]
    torch.testing.assert_close(joint_transport_costs(source, rows, target, logits, **weights), numbers)
    mixed = joint_transport_costs(source, 0.3 * rows + 0.7 * rows.roll(1, 0), target, logits, feature_weight=0.0, label_weight=1.0)
    plain = joint_transport_costs(source, labels, target, logits, feature_weight=0.0, label_weight=1.0)
    torch.testing.assert_close(mixed, 0.3 * plain + 0.7 * plain.roll(1, 0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(joint_transport_costs(source, rows, target, logits, feature_weight=0.0, label_weight=1.0), plain)
