"""What an adversarial classifier of MDD minimises: values by hand, invariances, gradients, and logits beyond reason."""

import math

import pytest
import torch

from acclimate.losses.margin_disparity import log_other_probability, margin_disparity


def random_logits(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def logits_of(probabilities):
    return torch.log(torch.tensor(probabilities, dtype=torch.float64))


SOURCE, TARGET = random_logits(5, 3), random_logits(4, 3, seed=1)
SOURCE_CLASSES, TARGET_CLASSES = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([2, 0, 0, 1])


def disparity(source=SOURCE, target=TARGET, **changes):
    arguments = {"source_classes": SOURCE_CLASSES, "target_classes": TARGET_CLASSES} | changes
    return margin_disparity(source, target, **arguments)


def test_disparity_by_hand():
    # Agreement on the source costs log 4, with a margin of 2; disagreement on the target has the probabilities 1/2 and 3/4.
    found = margin_disparity(
        logits_of([[0.25, 0.75]]),
        logits_of([[0.5, 0.5], [0.75, 0.25]]),
        source_classes=torch.tensor([0]),
        target_classes=torch.tensor([0, 1]),
        margin=2.0,
    )
    assert found.item() == pytest.approx(2 * math.log(4) + (math.log(2) + math.log(4 / 3)) / 2)


def test_margin_counts_for_the_source_alone():
    small, large = disparity(margin=1.0), disparity(margin=3.0)
    torch.testing.assert_close(large - small, 2 * torch.nn.functional.cross_entropy(SOURCE, SOURCE_CLASSES))


def test_order_of_samples_does_not_matter():
    rows = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(disparity(SOURCE[rows], source_classes=SOURCE_CLASSES[rows]), disparity())
    torch.testing.assert_close(disparity(target=TARGET.flip(0), target_classes=TARGET_CLASSES.flip(0)), disparity())


def test_constant_added_to_all_logits_of_a_sample_does_not_matter():
    torch.testing.assert_close(disparity(SOURCE + random_logits(5, 1), TARGET - random_logits(4, 1)), disparity())


def test_gradient_is_the_numerical_one():
    assert torch.autograd.gradcheck(disparity, (SOURCE.clone().requires_grad_(), TARGET.clone().requires_grad_()))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_bf16_logits_of_ten_thousand_give_finite_values_and_gradients(sign):
    """At p = 1, log(1 - p) of a softmax is minus infinity."""
    logits = (sign * 1e4 * torch.eye(3)).bfloat16().requires_grad_()
    classes = torch.arange(3)
    loss = margin_disparity(logits, logits, source_classes=classes, target_classes=classes)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_certain_adversary_still_learns_to_disagree():
    logits = torch.tensor([[100.0, 0.0]], requires_grad=True)
    log_other_probability(logits, torch.tensor([0])).sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-1.0, 1.0]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": 0.0}, "margin must be above 0"),
        ({"target": random_logits(4, 1)}, "K at least 2"),
        ({"target_classes": torch.tensor([0])}, "one class for each of 4 samples"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        disparity(**arguments)
