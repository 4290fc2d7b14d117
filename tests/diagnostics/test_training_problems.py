"""Detection of training problems in made-up numbers."""

import re

import pytest
import torch

import acclimate
from acclimate.config.check import check_config
from acclimate.diagnostics.training_problems import (
    Evidence,
    Validation,
    blind_discriminator,
    estimated_proportions,
    falling_source_accuracy,
    label_shift,
    prediction_collapse,
    saturated_discriminator,
)

OPTION = re.compile(r"\+?[a-z_]+(?:\.[a-z_]+)*=[\w.]*\w")


def evidence(*, progress=1.0, target=(25, 25, 25, 25), accuracies=(0.9, 0.9, 0.9), proportions=(0.25,) * 4, domain=(), num_source=400):
    history = [Validation((place + 1) / len(accuracies), accuracy, list(proportions)) for place, accuracy in enumerate(accuracies)]
    source = torch.full((4,), num_source // 4)
    return Evidence(progress, ["ant", "bee", "fly", "wasp"], source, target and torch.tensor(target), history, list(domain))


COLLAPSED = evidence(target=(98, 1, 1, 0))
BLIND = evidence(domain=[0.5, 0.4, 0.5])
SATURATED = evidence(domain=[0.6, 0.7, 0.8, 0.95, 0.93, 0.99])
FALLING = evidence(accuracies=[0.5, 0.9, 0.8, 0.7])
SHIFTED = evidence(proportions=(0.55, 0.25, 0.2, 0.0))


@pytest.mark.parametrize(
    ("symptom", "failing", "parts"),
    [
        (prediction_collapse, COLLAPSED, ["98% of the 100 validation inputs", "are predicted as ant", "1.1 equally", "has 4.0"]),
        (blind_discriminator, BLIND, ["not exceeded 50%"]),
        (saturated_discriminator, SATURATED, ["at least 93%"]),
        (falling_source_accuracy, FALLING, ["at most 80.0% of the 400 validation inputs", "after 90.0% at 50% of the training"]),
        (label_shift, SHIFTED, ["distance of 0.30", "ant from 25% to 55%, wasp from 25% to 0%, fly from 25% to 20%"]),
    ],
)
def test_symptom_is_told_with_its_evidence_and_options_that_exist(symptom, failing, parts):
    message = symptom(failing)
    assert all(part in message for part in parts), message
    assert symptom(evidence(domain=[0.7, 0.6, 0.5, 0.5, 0.5, 0.5])) is None
    assert_options_exist(message)


def assert_options_exist(message):
    options = OPTION.findall(message)
    assert options
    for option in options:
        key = f"++{option}" if "." in option.partition("=")[0] else option
        method = "adda" if "adversarial_weight" in option else "dann"
        words = [*([] if option.startswith("method=") else [f"method={method}"]), key]
        check_config(acclimate.compose(words, folder="nowhere"))


def test_few_classes_at_the_start_are_no_collapse():
    assert prediction_collapse(COLLAPSED._replace(progress=0.2)) is None


def test_many_images_of_one_class_are_no_collapse_if_others_are_there():
    assert prediction_collapse(evidence(target=(85, 5, 5, 5))) is None


def test_a_source_of_one_class_cannot_collapse_further():
    one = COLLAPSED._replace(source_counts=torch.tensor([400, 0, 0, 0]), target_counts=torch.tensor([100, 0, 0, 0]))
    assert prediction_collapse(one) is None


def test_few_images_cannot_show_many_classes():
    few = COLLAPSED._replace(target_counts=torch.tensor([1, 0, 0, 0]))
    assert prediction_collapse(few) is None


def test_a_discriminator_that_was_confused_after_it_could_see_is_not_blind():
    assert blind_discriminator(evidence(domain=[0.7, *[0.5] * 9])) is None
    assert blind_discriminator(evidence(domain=[0.5, 0.5])) is None


def test_a_discriminator_may_win_until_the_reversal_has_grown():
    assert saturated_discriminator(evidence(domain=[0.99, 0.99, 0.99, 0.95, 0.92])) is None
    assert saturated_discriminator(evidence(domain=[0.99, 0.99, 0.99, 0.95, 0.8, 0.92])) is None


def test_one_bad_validation_is_not_a_fall():
    assert falling_source_accuracy(evidence(accuracies=[0.9, 0.5, 0.9])) is None
    assert falling_source_accuracy(evidence(accuracies=[0.9, 0.9, 0.5])) is None
    assert falling_source_accuracy(evidence(accuracies=[0.9, 0.5])) is None


def test_a_fall_that_ends_is_none():
    assert falling_source_accuracy(evidence(accuracies=[0.9, 0.7, 0.75])) is None


def test_a_fall_that_few_images_can_show_by_chance_is_none():
    # The standard error of 0.75 is 0.0216 for 400 images and 0.0968 for 20.
    assert falling_source_accuracy(evidence(accuracies=[0.9, 0.75, 0.75])) is not None
    assert falling_source_accuracy(evidence(accuracies=[0.9, 0.75, 0.75], num_source=20)) is None


def test_label_shift_is_judged_by_what_was_estimated_before_alignment_hid_it():
    equal, shifted = [0.25] * 4, [0.55, 0.25, 0.2, 0.0]
    early = [Validation(place / 10, 0.9, shifted if 1 <= place <= 5 else equal) for place in range(11)]
    assert label_shift(SHIFTED._replace(history=early)) is not None
    # Errors of single estimates do not cancel.
    mixed = [Validation(place / 10, 0.9, shifted if place % 2 else shifted[::-1]) for place in range(11)]
    assert "distance of 0.30" in label_shift(SHIFTED._replace(history=mixed))
    once = [Validation(place / 10, 0.9, equal if place == 3 else shifted) for place in range(11)]
    assert label_shift(SHIFTED._replace(history=once)) is None
    late = [Validation(place / 10, 0.9, equal if 1 <= place <= 5 else shifted) for place in range(11)]
    assert label_shift(SHIFTED._replace(history=late)) is None
    assert label_shift(SHIFTED._replace(progress=0.4)) is None


def test_a_shift_that_few_images_can_show_by_chance_is_none():
    # Two samples of n and m images are expected to be apart by √(2 / π) · 0.5 · 4 · √(0.1875 · (1 / n + 1 / m)): 0.17 for 20 and 20.
    few = {"target_counts": torch.tensor([5] * 4), "source_counts": torch.tensor([5] * 4)}
    assert label_shift(SHIFTED._replace(**few)) is None


def test_without_a_target_nothing_is_said_of_it():
    alone = evidence(target=None, proportions=())
    assert prediction_collapse(alone) is None
    assert label_shift(alone) is None


def test_proportions_are_recovered_from_a_noisy_classifier_by_hand():
    # 90 % and 75 % are recognised: of 800 images of the first class and 200 of the second, 720 + 50 are taken for the first.
    found = estimated_proportions(torch.tensor([[900, 100], [250, 750]]), torch.tensor([770, 230]))
    torch.testing.assert_close(found, torch.tensor([0.8, 0.2], dtype=torch.float64), atol=0.005, rtol=0)
    exact = estimated_proportions(torch.tensor([[900, 100], [250, 750]]), torch.tensor([575, 425]))
    torch.testing.assert_close(exact, torch.tensor([0.5, 0.5], dtype=torch.float64))


def test_a_class_that_the_source_never_shows_gets_no_share():
    found = estimated_proportions(torch.tensor([[9, 1, 0], [1, 9, 0], [0, 0, 0]]), torch.tensor([5, 5, 0]))
    torch.testing.assert_close(found, torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64))
