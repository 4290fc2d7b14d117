"""BSP."""

import math

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.methods.bsp import Bsp


def algorithm(method, batch):
    """Chen et al., ICML 2019: DANN as a game of two players, and the largest eigenvalue of each domain's FᵀF."""
    strength = 2 / (1 + math.exp(-10 * 0.5)) - 1
    penalty, errors, logits = 0.0, [], []
    for images, domain in ((batch.source.images, 1.0), (batch.target.views[0], 0.0)):
        features, predicted = method.classifier(images)
        said = method.discriminator(features)[:, 0]
        errors.append(F.binary_cross_entropy_with_logits(said, torch.full_like(said, domain)))
        penalty = penalty + torch.linalg.eigvalsh(features.T @ features)[-1]
        logits.append(predicted)
    classification, domain = F.cross_entropy(logits[0], batch.source.labels), sum(errors) / 2
    losses = {"classification": classification, "domain": domain, "spectral": 0.01 * penalty}
    return Objectives(losses, classification - strength * domain + 0.01 * penalty, domain)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes):
    assert_same_step(tiny_method(Bsp, spectral_weight=0.01, discriminator_width=8), tiny_batch(*sizes), algorithm)


def test_penalty_is_not_reversed():
    method, batch = tiny_method(Bsp), tiny_batch()
    source, target = method.predict_domains(batch)
    gradient = torch.autograd.grad(method.losses(batch, source, target)["spectral"], source.features)[0]
    assert (gradient * source.features).sum() > 0


@pytest.mark.parametrize("wrong", [{"spectral_weight": -1.0}, {"num_values": 0}, {"num_values": 7}, {"max_reversal": -1.0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        tiny_method(Bsp, **wrong)
