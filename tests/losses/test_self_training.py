"""Losses of self-training: values by hand, what counts, constants, gradients, and logits beyond reason."""

import functools
import math

import pytest
import torch
from torch.nn import functional as F

from acclimate.losses.self_training import fixmatch, pseudo_label, teacher_consistency

# Each as a function of two sets of logits: those that give the labels, and those that learn.
RAMPED = functools.partial(pseudo_label, progress=0.3, start=0.1, end=0.5)
LOSSES = {
    "fixmatch": fixmatch,
    "pseudo_label": lambda labelling, learning, **options: RAMPED(learning, **options),
    "teacher_consistency": lambda labelling, learning, **options: teacher_consistency(learning, labelling, **options),
}
OF_TWO_VIEWS = ["fixmatch", "teacher_consistency"]


def random_logits(*shape, seed=0):
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def logits_of(probabilities):
    return torch.log(torch.tensor(probabilities, dtype=torch.float64))


def test_fixmatch_by_hand():
    weak = logits_of([[0.96, 0.02, 0.02], [0.5, 0.3, 0.2], [0.01, 0.0, 0.99], [0.94, 0.03, 0.03]])
    strong = logits_of([[0.25, 0.7, 0.05], [0.1, 0.1, 0.8], [0.3, 0.2, 0.5], [0.1, 0.8, 0.1]])
    # The first and the third are confident, of four.
    assert fixmatch(weak, strong).item() == pytest.approx((math.log(4) + math.log(2)) / 4)


def test_pseudo_label_by_hand():
    logits = logits_of([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    everything = (math.log(2) + math.log(1.25)) / 2
    assert pseudo_label(logits, 1.0, start=0.1, end=0.6).item() == pytest.approx(everything)
    assert pseudo_label(logits, 1.0, start=0.1, end=0.6, threshold=0.8 - 1e-9).item() == pytest.approx(math.log(1.25) / 2)


@pytest.mark.parametrize(("progress", "alpha"), [(0.0, 0), (0.1, 0), (0.2, 0.2), (0.35, 0.5), (0.6, 1), (0.9, 1), (1.0, 1)])
def test_weight_of_pseudo_labels_rises_from_the_start_to_the_end(progress, alpha):
    full = pseudo_label(random_logits(5, 3), 1.0, start=0.1, end=0.6)
    assert pseudo_label(random_logits(5, 3), progress, start=0.1, end=0.6).item() == pytest.approx(alpha * full.item())


def test_teacher_consistency_by_hand():
    student = logits_of([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    teacher = logits_of([[0.99, 0.01, 0.0], [0.4, 0.4, 0.2]])
    differences = (0.49**2 + 0.24**2 + 0.25**2) / 3, (0.2**2 + 0.2**2 + 0.4**2) / 3
    assert teacher_consistency(student, teacher).item() == pytest.approx(differences[0] / 2)
    assert teacher_consistency(student, teacher, threshold=0.0).item() == pytest.approx(sum(differences) / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_order_of_samples_and_of_classes_does_not_matter(name):
    labelling, learning = random_logits(7, 4), random_logits(7, 4, seed=1)
    rows, columns = torch.randperm(7, generator=torch.Generator().manual_seed(0)), [2, 0, 3, 1]
    expected = LOSSES[name](labelling, learning, threshold=0.6)
    assert expected > 0
    torch.testing.assert_close(LOSSES[name](labelling[rows][:, columns], learning[rows][:, columns], threshold=0.6), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_constant_added_to_a_sample_does_not_matter(name):
    labelling, learning = random_logits(7, 4), random_logits(7, 4, seed=1)
    moved = LOSSES[name](labelling + random_logits(7, 1), learning + random_logits(7, 1, seed=2), threshold=0.6)
    torch.testing.assert_close(moved, LOSSES[name](labelling, learning, threshold=0.6))


@pytest.mark.parametrize("name", LOSSES)
def test_threshold_itself_is_enough(name):
    labelling = learning = torch.zeros(2, 4, dtype=torch.float64)
    reached, missed = (LOSSES[name](labelling, learning + random_logits(2, 1), threshold=threshold) for threshold in (0.25, 0.26))
    assert missed == 0
    assert reached > 0 or name == "teacher_consistency"


@pytest.mark.parametrize("name", OF_TWO_VIEWS)
def test_no_gradient_flows_into_what_gives_the_labels(name):
    labelling, learning = random_logits(7, 4).requires_grad_(), random_logits(7, 4, seed=1).requires_grad_()
    LOSSES[name](labelling, learning, threshold=0.5).backward()
    assert labelling.grad is None
    assert learning.grad.any()


def test_pseudo_labels_are_constants_for_the_gradient():
    logits = random_logits(5, 3).requires_grad_()
    pseudo_label(logits, 1.0, start=0.0, end=0.5).backward()
    # Of the cross-entropy of a softmax: probabilities less labels.
    probabilities = F.softmax(logits.detach(), dim=1)
    torch.testing.assert_close(logits.grad, (probabilities - F.one_hot(probabilities.argmax(dim=1), 3)) / 5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("num_samples", [1, 6])
def test_gradient_is_the_numerical_one(name, num_samples):
    labelling, learning = random_logits(num_samples, 4), random_logits(num_samples, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda logits: LOSSES[name](labelling, logits, threshold=0.3), learning)


@pytest.mark.parametrize("name", LOSSES)
def test_without_a_confident_sample_value_and_gradient_are_zero(name):
    learning = torch.zeros(4, 3).requires_grad_()
    value = LOSSES[name](torch.zeros(4, 3), learning, threshold=0.95)
    value.backward()
    assert value == 0
    assert torch.equal(learning.grad, torch.zeros(4, 3))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("pattern", ["spread", "one class", "all equal"])
@pytest.mark.parametrize("sign", [1, -1])
def test_bf16_logits_of_ten_thousand_give_finite_values_and_gradients(name, pattern, sign):
    labelling = {
        "spread": torch.randint(0, 2, (8, 5), generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0,
        "one class": torch.eye(5)[[0] * 8] * 2 - 1,
        "all equal": torch.ones(8, 5),
    }[pattern]
    labelling = (1e4 * labelling).to(torch.bfloat16)
    learning = (sign * labelling).requires_grad_()
    value = LOSSES[name](labelling, learning, threshold=0.0)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert learning.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_does_not_lift_a_sample_over_the_threshold(name):
    # 0.9989 is 1 in bf16.
    labelling = torch.tensor([[6.8125, 0.0]], dtype=torch.bfloat16)
    assert torch.softmax(labelling, dim=1).max() == 1
    assert LOSSES[name](labelling, -labelling, threshold=0.9995) == 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_threshold_is_a_probability(name, threshold):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        LOSSES[name](torch.zeros(4, 2), torch.zeros(4, 2), threshold=threshold)


@pytest.mark.parametrize("name", LOSSES)
def test_logits_must_be_matrices(name):
    with pytest.raises(ValueError, match=r"\(N, K\)"):
        LOSSES[name](torch.zeros(4), torch.zeros(4))


@pytest.mark.parametrize("name", OF_TWO_VIEWS)
def test_logits_must_be_of_the_same_images(name):
    with pytest.raises(ValueError, match="same inputs"):
        LOSSES[name](torch.zeros(4, 2), torch.zeros(3, 2))


@pytest.mark.parametrize(("start", "end"), [(-0.1, 0.5), (0.5, 0.5), (0.6, 0.5), (0.1, 1.1)])
def test_shares_of_the_training_must_be_in_order(start, end):
    with pytest.raises(ValueError, match="shares"):
        pseudo_label(torch.zeros(4, 2), 0.5, start=start, end=end)
