"""Nuclear norm and class correlation by hand."""

import math

import pytest
import torch

from acclimate.scores.class_correlation import CorrelationWithIdentity, NuclearNorm
from acclimate.types import Prediction


def value(score, probabilities):
    logits = torch.tensor(probabilities).log()
    score.update("target", Prediction(torch.ones(len(logits), 1), logits), None)
    return float(score.compute())


def test_nuclear_norm_of_two_images():
    # [[0.8, 0.2], [0.2, 0.8]] has the singular values 1 and 0.6; at most they could sum to sqrt(2 · 2).
    assert value(NuclearNorm(), [[0.8, 0.2], [0.2, 0.8]]) == pytest.approx(1.6 / 2)


def test_nuclear_norm_is_that_of_the_matrix_of_probabilities():
    probabilities = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    probabilities /= probabilities.sum(dim=1, keepdim=True)
    expected = float(torch.linalg.matrix_norm(probabilities.double(), ord="nuc")) / math.sqrt(3 * 3)
    assert value(NuclearNorm(), probabilities.tolist()) == pytest.approx(expected)


def test_nuclear_norm_does_not_depend_on_the_size_of_the_set():
    rows = [[0.8, 0.2], [0.2, 0.8]]
    assert value(NuclearNorm(), 50 * rows) == pytest.approx(value(NuclearNorm(), rows))


def test_class_correlation_of_two_images():
    # PᵀP = [[0.68, 0.32], [0.32, 0.68]].
    expected = 2 * 0.68 / (math.sqrt(2) * math.sqrt(2 * 0.68**2 + 2 * 0.32**2))
    assert value(CorrelationWithIdentity(), [[0.8, 0.2], [0.2, 0.8]]) == pytest.approx(expected)


@pytest.mark.parametrize("rows", [[[1.0, 0.0]] * 4, [[0.5, 0.5]] * 4])
def test_class_correlation_of_equal_predictions_is_the_lowest(rows):
    assert value(CorrelationWithIdentity(), rows) == pytest.approx(1 / math.sqrt(2))
