"""Batch spectral penalisation beside DANN."""

import math

import pytest
import torch
from single_steps import NUM_FEATURES, UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.methods.bsp import Bsp


def algorithm(method, batch, *, weight, num_values):
    """Chen et al., ICML 2019, with DANN, as a game of two players; singular values from the eigenvalues of FᵀF."""
    strength = 2 / (1 + math.exp(-10 * 0.5)) - 1
    spectral, domain = 0.0, 0.0
    logits = {}
    for images, is_source in ((batch.source.inputs, True), (batch.target.views[0], False)):
        features, logits[is_source] = method.classifier(images)
        spectral = spectral + weight * torch.linalg.eigvalsh(features.T @ features)[-num_values:].sum()
        says_source = torch.sigmoid(method.discriminator(features)[:, 0])
        domain = domain - (says_source if is_source else 1 - says_source).log().mean() / 2
    classification = F.cross_entropy(logits[True], batch.source.labels)
    losses = {"classification": classification, "domain": domain, "spectral": spectral}
    return Objectives(losses, classification - strength * domain + spectral, domain)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize(("weight", "num_values"), [(1e-4, 1), (0.01, 2)])
def test_step_is_that_of_the_paper(sizes, weight, num_values):
    method = tiny_method(Bsp, spectral_weight=weight, num_values=num_values, discriminator_width=8)
    assert_same_step(method, tiny_batch(*sizes), lambda *arguments: algorithm(*arguments, weight=weight, num_values=num_values))


def test_penalty_weakens_the_largest_direction_of_both_domains():
    largest = {}
    for weight in (0.0, 0.01):
        method, batch = tiny_method(Bsp, spectral_weight=weight), tiny_batch()
        optimizer = method.configure_optimizers()["optimizer"]
        for _ in range(10):
            optimizer.zero_grad()
            method.training_step(batch, 0).backward()
            optimizer.step()
        largest[weight] = [torch.linalg.matrix_norm(domain.features, ord=2).item() for domain in method.passes(batch)[:2]]
    assert all(penalised < 0.95 * free for penalised, free in zip(largest[0.01], largest[0.0], strict=True))


def test_penalty_is_not_reversed_and_does_not_wait_for_the_ramp():
    method, batch = tiny_method(Bsp, progress=0.0), tiny_batch()
    losses = method.losses(*method.passes(batch)[:2])
    bottleneck = method.classifier.bottleneck[0].weight
    assert not torch.autograd.grad(losses["domain"], bottleneck, retain_graph=True)[0].any()
    assert torch.autograd.grad(losses["spectral"], bottleneck)[0].any()


def test_discriminator_learns_at_full_speed_before_the_features_do():
    method, batch = tiny_method(Bsp, progress=0.0), tiny_batch()
    method.losses(*method.passes(batch)[:2])["domain"].backward()
    assert all(parameter.grad.any() for parameter in method.discriminator.parameters())


def test_reversal_and_domain_accuracy_are_logged():
    method = tiny_method(Bsp)
    method.training_step(tiny_batch(), 0)
    assert method.logged["adaptation/reversal"] == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert 0 <= method.logged["adaptation/domain_accuracy"] <= 1


@pytest.mark.parametrize("wrong", [{"num_values": NUM_FEATURES + 1}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        tiny_method(Bsp, **wrong)
