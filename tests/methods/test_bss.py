"""Batch spectral shrinkage: the step of the paper, and what it does to the features."""

import pytest
import torch
from single_steps import NUM_FEATURES, UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.methods.bss import Bss

LABELLED = tiny_batch()._replace(target=None)


def algorithm(method, batch, *, weight, num_values):
    """Chen et al., NeurIPS 2019; the squares of the singular values are the eigenvalues of the smaller of FᵀF and F·Fᵀ."""
    features, logits = method.classifier(batch.source.inputs)
    tall = len(features) >= features.shape[1]
    squares = torch.linalg.eigvalsh(features.T @ features if tall else features @ features.T)
    task, spectral = F.cross_entropy(logits, batch.source.labels), weight * squares[:num_values].sum()
    return Objectives({"classification": task, "spectral": spectral}, task + spectral)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize(("weight", "num_values"), [(0.001, 1), (0.5, 2)])
def test_step_is_that_of_the_paper(sizes, weight, num_values):
    method = tiny_method(Bss, shrinkage_weight=weight, num_values=num_values)
    batch = tiny_batch(*sizes)._replace(target=None)
    assert_same_step(method, batch, lambda *arguments: algorithm(*arguments, weight=weight, num_values=num_values))


def test_it_suppresses_the_weakest_direction_and_leaves_the_strongest():
    values = {}
    for weight in (0.0, 0.5):
        method = tiny_method(Bss, shrinkage_weight=weight)
        optimizer = method.configure_optimizers()["optimizer"]
        for _ in range(10):
            optimizer.zero_grad()
            method.training_step(LABELLED, 0).backward()
            optimizer.step()
        values[weight] = torch.linalg.svdvals(method.passes(LABELLED)[0].features)
    assert values[0.5][-1] < 0.5 * values[0.0][-1]
    assert values[0.5][0] > 0.8 * values[0.0][0]


@pytest.mark.parametrize("wrong", [{"num_values": NUM_FEATURES + 1}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        tiny_method(Bss, **wrong)
