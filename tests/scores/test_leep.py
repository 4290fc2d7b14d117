"""LEEP."""

import math

import torch

from acclimate.scores.leep import log_expected_empirical_prediction


def test_value_worked_out_by_hand():
    probabilities = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1])
    # Sums: class 0 has 1.5 and 0.5 of the two pretrained classes, class 1 has 0 and 1. So p(0 | ·) = 1, 1/3; p(1 | ·) = 0, 2/3.
    expected = (math.log(0.5 * 1 + 0.5 / 3) + math.log(1) + math.log(2 / 3)) / 3
    torch.testing.assert_close(log_expected_empirical_prediction(probabilities, labels).item(), expected)


def test_predictions_that_determine_the_labels_have_the_best_value():
    probabilities = torch.eye(4)[[0, 1, 2, 3, 0]]
    assert log_expected_empirical_prediction(probabilities, torch.tensor([0, 1, 1, 0, 0])).item() == 0


def test_predictions_that_are_all_alike_have_the_value_of_the_frequencies():
    probabilities = torch.tensor([0.2, 0.3, 0.5]).expand(4, 3)
    expected = 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert math.isclose(log_expected_empirical_prediction(probabilities, torch.tensor([0, 0, 1, 0])).item(), expected, rel_tol=1e-6)


def test_order_of_images_and_of_pretrained_classes_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    probabilities, labels = torch.rand(9, 4, generator=generator).softmax(dim=1), torch.arange(9) % 3
    images, classes = torch.randperm(9, generator=generator), torch.randperm(4, generator=generator)
    torch.testing.assert_close(
        log_expected_empirical_prediction(probabilities[images][:, classes], labels[images]),
        log_expected_empirical_prediction(probabilities, labels),
    )
