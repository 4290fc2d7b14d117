"""The guard against collapse: what it calls one, and what it puts back."""

import math

import pytest
import torch
from torch import nn

from acclimate.methods.parts.collapse_guard import CollapseGuard

EVERY_CLASS = 50.0 * torch.eye(4)
ONE_CLASS = 50.0 * torch.eye(4)[[0] * 4]


def guard(share=0.5, momentum=0.0):
    parameters = [nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor(3.0))]
    return CollapseGuard(parameters, 4, share=share, momentum=momentum), parameters


def test_diversity_is_the_entropy_of_the_average_prediction():
    watching, _ = guard(momentum=0.5)
    watching.watch(EVERY_CLASS)
    assert watching.diversity.item() == pytest.approx(math.log(4))
    watching.watch(ONE_CLASS)
    # A third for the older batch: 1/3 · 1/4 for each class, and 2/3 more for the first.
    shares = [2 / 3 + 1 / 12, 1 / 12, 1 / 12, 1 / 12]
    assert watching.diversity.item() == pytest.approx(-sum(share * math.log(share) for share in shares))


def test_a_collapse_is_a_loss_of_diversity_and_not_a_lack_of_it():
    watching, _ = guard()
    assert not watching.has_collapsed
    watching.watch(ONE_CLASS)
    assert not watching.has_collapsed
    watching.watch(EVERY_CLASS)
    assert not watching.has_collapsed
    watching.watch(ONE_CLASS)
    assert watching.has_collapsed


def test_a_share_of_zero_notices_nothing():
    watching, _ = guard(share=0.0)
    for logits in (EVERY_CLASS, ONE_CLASS):
        watching.watch(logits)
    assert not watching.has_collapsed


def test_parameters_are_put_back_and_watching_begins_anew():
    watching, parameters = guard()
    with torch.no_grad():
        for parameter in parameters:
            parameter.fill_(9.0)
    for logits in (EVERY_CLASS, ONE_CLASS):
        watching.watch(logits)
    watching.put_back(parameters)
    assert [parameter.tolist() for parameter in parameters] == [[1.0, 2.0], 3.0]
    assert not watching.has_collapsed
    assert watching.highest == 0


def test_half_precision_does_not_matter():
    watching, _ = guard()
    watching.watch((1e4 * EVERY_CLASS).bfloat16())
    assert watching.diversity.item() == pytest.approx(math.log(4))
