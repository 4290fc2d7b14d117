"""JAN."""

import math

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.methods.jan import Jan


def algorithm(method, batch):
    """Long et al., ICML 2017: kernels of features and of class probabilities are multiplied, pair by pair."""
    strength = 2 / (1 + math.exp(-10 * 0.5)) - 1
    source = method.classifier(batch.source.inputs)
    target = method.classifier(batch.target.views[0])
    pairs = [list(zip(features, F.softmax(logits, dim=1), strict=True)) for features, logits in (source, target)]
    both = [features for domain in pairs for features, _ in domain]
    apart = [(a - b).square().sum().item() for i, a in enumerate(both) for j, b in enumerate(both) if i != j]
    mean_distance = sum(apart) / len(apart)

    def kernel(a, b):
        features = sum(torch.exp(-(a[0] - b[0]).square().sum() / (2 * 2**power * mean_distance)) for power in range(-3, 2))
        return features * torch.exp(-(a[1] - b[1]).square().sum() / (2 * 0.92**2))

    def within(domain):
        values = [kernel(a, b) for i, a in enumerate(domain) for j, b in enumerate(domain) if i != j]
        return sum(values) / len(values)

    between = sum(kernel(a, b) for a in pairs[0] for b in pairs[1]) / (len(pairs[0]) * len(pairs[1]))
    losses = {
        "classification": F.cross_entropy(source.logits, batch.source.labels),
        "discrepancy": strength * (within(pairs[0]) + within(pairs[1]) - 2 * between),
    }
    return Objectives(losses, sum(losses.values()))


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes):
    assert_same_step(tiny_method(Jan), tiny_batch(*sizes), algorithm)


def test_discrepancy_has_no_weight_before_the_predictions_have_a_meaning():
    method, batch = tiny_method(Jan, progress=0.0), tiny_batch()
    assert method.losses(*method.passes(batch)[:2])["discrepancy"] == 0


def test_weight_and_discrepancy_are_logged():
    method = tiny_method(Jan, discrepancy_weight=4.0)
    method.training_step(tiny_batch(), 0)
    weight = method.logged["adaptation/weight"]
    assert weight == pytest.approx(4 * (2 / (1 + math.exp(-5)) - 1))
    assert weight * method.logged["adaptation/discrepancy"] == pytest.approx(method.logged["loss/discrepancy"])
