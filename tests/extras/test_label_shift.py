import copy

import pytest
import torch
from torch.nn import functional as F

from acclimate.extras.label_shift import ClassProportions, systematic_resample, target_class_weights
from acclimate.types import Labelled

EXACT = {"ridge": 1e-12}


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_weights_of_two_classes_by_hand():
    # 90 % and 80 % are recognised. With a share q of the first class the target is predicted .9 q + .2 (1 - q) = .34 of it: q = .2.
    confusion, source = tensor([0.9, 0.2], [0.1, 0.8]), tensor(0.5, 0.5)
    torch.testing.assert_close(target_class_weights(confusion, source, tensor(0.34, 0.66), **EXACT), tensor(0.4, 1.6))
    # The same target after a source of which a quarter is of the first class: .2 / .25 and .8 / .75.
    found = target_class_weights(confusion, tensor(0.25, 0.75), tensor(0.34, 0.66), **EXACT)
    torch.testing.assert_close(found, tensor(0.8, 16 / 15))


def test_weights_of_three_classes_by_hand():
    # The first two classes are confused, the third is not: μ₃ is its share, .5, and .75 q₁ + .25 q₂ = .225 with q₁ + q₂ = .5.
    confusion, source = tensor([0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0, 1]), tensor(0.2, 0.4, 0.4)
    found = target_class_weights(confusion, source, tensor(0.225, 0.275, 0.5), **EXACT)
    torch.testing.assert_close(found, tensor(0.2 / 0.2, 0.3 / 0.4, 0.5 / 0.4))


def random_shift(num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    confusion = 0.6 * torch.eye(num_classes, dtype=torch.float64)
    confusion += 0.4 * torch.rand(num_classes, num_classes, generator=generator, dtype=torch.float64).softmax(dim=0)
    source, target = (torch.randn(num_classes, generator=generator, dtype=torch.float64).softmax(dim=0) for _ in range(2))
    return confusion, source, target


@pytest.mark.parametrize("num_classes", [2, 5, 20])
def test_a_known_shift_is_recovered_from_a_noisy_classifier(num_classes):
    confusion, source, target = random_shift(num_classes, seed=num_classes)
    target[0] = 0
    target /= target.sum()
    found = target_class_weights(confusion, source, confusion @ target, **EXACT)
    torch.testing.assert_close(found, target / source, rtol=1e-6, atol=1e-6)
    by_default = source * target_class_weights(confusion, source, confusion @ target)
    assert (by_default - target).abs().max() < 0.01


def test_without_a_shift_all_weights_are_one_for_every_penalty():
    confusion, source, _ = random_shift(4, seed=0)
    for ridge in (1e-9, 1.0, 1e9):
        torch.testing.assert_close(target_class_weights(confusion, source, confusion @ source, ridge=ridge), torch.ones(4).double())


def test_the_order_of_the_classes_does_not_matter():
    confusion, source, target = random_shift(5, seed=1)
    found, order = target_class_weights(confusion, source, confusion @ target), torch.tensor([3, 0, 4, 1, 2])
    permuted = target_class_weights(confusion[order][:, order], source[order], (confusion @ target)[order])
    torch.testing.assert_close(permuted, found[order])


@pytest.mark.parametrize("least", [0.0, 0.1])
def test_weights_are_never_negative_and_keep_the_mean_of_the_source(least):
    for seed in range(50):
        confusion, source, prediction = random_shift(6, seed)
        # Predictions that no proportions of the classes explain.
        prediction = (6 * prediction).softmax(dim=0)
        weights = target_class_weights(confusion, source, prediction, ridge=1e-6, least=least)
        assert (weights > 0).all() if least else (weights >= 0).all()
        torch.testing.assert_close((source * weights).sum(), tensor(1.0)[0])


def test_classes_that_cannot_be_told_apart_share_a_weight():
    confusion, source = tensor([0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]), tensor(1, 1, 1) / 3
    found = target_class_weights(confusion, source, tensor(0.1, 0.1, 0.8), ridge=1e-6)
    torch.testing.assert_close(found, tensor(0.3, 0.3, 2.4), rtol=1e-4, atol=1e-4)
    blind = target_class_weights(torch.full((3, 3), 1 / 3), torch.full((3,), 1 / 3), torch.tensor([0.1, 0.1, 0.8]))
    torch.testing.assert_close(blind, torch.ones(3))


def test_a_class_of_which_nothing_is_known_keeps_the_weight_of_one():
    confusion = tensor([1, 0, 0], [0, 1, 0], [0, 0, 0])
    found = target_class_weights(confusion, tensor(0.5, 0.5, 0), tensor(0.2, 0.8, 0), **EXACT)
    torch.testing.assert_close(found, tensor(0.4, 1.6, 1.0))
    assert (target_class_weights(torch.zeros(3, 3), torch.full((3,), 1 / 3), torch.zeros(3)) == 1).all()


def test_weights_do_not_suffer_from_half_precision():
    confusion, source, target = (tensor.float() for tensor in random_shift(10, seed=3))
    prediction = confusion @ target
    expected = target_class_weights(confusion, source, prediction)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(target_class_weights(confusion, source, prediction), expected)
    assert target_class_weights(confusion.bfloat16(), source.bfloat16(), target.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ridge": 0.0}, r"ridge must be above 0, but is 0\.0"),
        ({"least": 1.0}, r"least must be at least 0 and below 1, but is 1\.0"),
        ({"confusion": torch.eye(2)[:1]}, r"but got \(1, 2\), \(2,\) and \(2,\)"),
        ({"source_proportions": torch.ones(3)}, r"but got \(2, 2\), \(3,\) and \(2,\)"),
        ({"target_prediction": torch.ones(3)}, r"but got \(2, 2\), \(2,\) and \(3,\)"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    sensible = {"confusion": torch.eye(2), "source_proportions": torch.ones(2) / 2, "target_prediction": torch.ones(2) / 2}
    with pytest.raises(ValueError, match=message):
        target_class_weights(**sensible | change)


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.999])
def test_each_class_gets_its_share_of_the_batch_rounded_up_or_down(offset):
    labels = torch.randint(0, 4, (33,), generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([2.0, 0.0, 0.5, 1.2])
    rows = systematic_resample(labels, weights, torch.tensor(offset))
    shares = weights * labels.bincount(minlength=4)
    shares *= len(labels) / shares.sum()
    counts = labels[rows].bincount(minlength=4)
    assert ((counts >= shares.floor()) & (counts <= shares.ceil())).all()
    assert counts[1] == 0
    times_drawn = rows.bincount(minlength=len(labels))
    for label in range(4):
        assert times_drawn[labels == label].max() - times_drawn[labels == label].min() <= 1


def test_rows_are_drawn_in_proportion_to_their_weights_on_average():
    labels, weights = torch.tensor([0, 2, 1, 0, 1]), torch.tensor([0.3, 1.0, 2.5])
    offsets = (torch.arange(2000) + 0.5) / 2000
    drawn = sum(systematic_resample(labels, weights, offset).bincount(minlength=5) for offset in offsets) / len(offsets)
    expected = weights[labels] * len(labels) / weights[labels].sum()
    torch.testing.assert_close(drawn, expected, atol=0.002, rtol=0)


@pytest.mark.parametrize("offset", [0.0, 0.5, 0.999])
def test_equal_weights_leave_the_batch_as_it_is(offset):
    labels = torch.tensor([2, 0, 1, 1, 0, 2, 2])
    assert systematic_resample(labels, torch.full((3,), 0.7), torch.tensor(offset)).tolist() == list(range(7))


# A source of three classes in unequal proportions, a target in others, and a classifier that is right in 7 of 10 cases.
SOURCE, TARGET = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.0, 0.9])


def noisy_logits(labels, generator):
    wrong = torch.rand(len(labels), generator=generator) < 0.3
    return F.one_hot((labels + wrong) % 3, 3) + 0.1 * torch.rand(len(labels), 3, generator=generator)


def observe(proportions, num_batches, *, progress=1.0, batch_size=64, seed=0):
    """Show training batches and return the labels of all that came out."""
    generator, drawn = torch.Generator().manual_seed(seed), []
    torch.manual_seed(seed)
    for _ in range(num_batches):
        labels = SOURCE.multinomial(batch_size, replacement=True, generator=generator)
        batch = proportions.resample(Labelled(torch.zeros(batch_size, 1), labels), progress=progress)
        target_labels = TARGET.multinomial(batch_size, replacement=True, generator=generator)
        proportions.update(noisy_logits(batch.labels, generator), batch.labels, noisy_logits(target_labels, generator))
        drawn.append(batch.labels)
    return torch.cat(drawn)


def test_running_estimates_come_near_the_true_weights_whether_batches_are_resampled_or_not():
    for progress in (0.0, 1.0):
        proportions = ClassProportions(3, momentum=0.995, least=0.01)
        observe(proportions, 600, progress=progress)
        assert (proportions.weights() - TARGET / SOURCE).abs().max() < 0.25
        given = proportions.source_predictions / proportions.source_predictions.sum(dim=0)
        torch.testing.assert_close(given, 0.7 * torch.eye(3) + 0.3 * torch.eye(3).roll(1, dims=0), atol=0.06, rtol=0)
        torch.testing.assert_close(proportions.source_labels / proportions.source_labels.sum(), SOURCE, atol=0.03, rtol=0)


def test_batches_get_the_proportions_of_the_target_but_keep_a_few_of_every_class():
    proportions = ClassProportions(3, momentum=0.995)
    observe(proportions, 300)
    found = observe(proportions, 200, seed=1).bincount() / (200 * 64)
    torch.testing.assert_close(found, TARGET, atol=0.06, rtol=0)
    assert found[1] > 0.005


def test_before_the_start_batches_stay_as_they_are_but_are_noted():
    proportions, labels = ClassProportions(3, start=0.5), torch.tensor([0, 0, 2])
    batch = Labelled(torch.rand(3, 3, 4, 4), labels)
    assert proportions.resample(batch, progress=0.49) is batch
    assert proportions.source_labels.tolist() == pytest.approx([0.04, 0, 0.02])
    observe(proportions, 50, progress=0.0)
    assert proportions.resample(batch, progress=0.5) is not batch


def test_labels_stay_with_their_images_when_rows_are_drawn():
    proportions = ClassProportions(3)
    observe(proportions, 100)
    labels = torch.randint(0, 3, (40,))
    images, found, *_ = proportions.resample(Labelled(torch.stack([labels, torch.arange(40)], dim=1), labels), progress=1.0)
    assert torch.equal(images[:, 0], found)
    assert len(images[:, 1].unique()) < 40


def test_of_several_sources_each_drawn_image_keeps_its_own():
    proportions, labels = ClassProportions(3), torch.randint(0, 3, (40,), generator=torch.Generator().manual_seed(0))
    observe(proportions, 100)
    found = proportions.resample(Labelled(torch.arange(40), labels, domains=torch.arange(40) % 7), progress=1.0)
    assert len(found.inputs.unique()) < 40
    assert torch.equal(found.domains, found.inputs % 7)


def test_with_no_prediction_yet_the_first_batch_stays_as_it_is():
    proportions, labels = ClassProportions(4), torch.tensor([3, 1, 1])
    found = proportions.resample(Labelled(torch.arange(3.0), labels), progress=1.0)
    assert found.inputs.tolist() == [0, 1, 2]


def test_estimates_travel_with_the_state():
    whole, stopped = ClassProportions(3), ClassProportions(3)
    observe(whole, 20)
    observe(whole, 20, seed=1)
    observe(stopped, 20)
    resumed = ClassProportions(3)
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    observe(resumed, 20, seed=1)
    assert torch.equal(resumed.weights(), whole.weights())
