"""Margin disparity discrepancy."""

import math

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.methods.mdd import Mdd


def algorithm(method, batch, *, margin):
    """Zhang et al., ICML 2019, section 5, as a game of two players instead of a reversed gradient."""
    strength = 0.2 * (2 / (1 + math.exp(-10 * 0.5)) - 1)
    source_features, source_logits = method.classifier(batch.source.inputs)
    target_features, target_logits = method.classifier(batch.target.views[0])
    agreement, avoidance = [], []
    for feature, logits in zip(source_features, source_logits, strict=True):
        said = F.softmax(method.adversary(feature), dim=0)
        agreement.append(-said[logits.argmax()].log())
    for feature, logits in zip(target_features, target_logits, strict=True):
        said = F.softmax(method.adversary(feature), dim=0)
        avoidance.append(-(1 - said[logits.argmax()]).log())
    classification = F.cross_entropy(source_logits, batch.source.labels)
    disparity = margin * sum(agreement) / len(agreement) + sum(avoidance) / len(avoidance)
    return Objectives({"classification": classification, "disparity": disparity}, classification - strength * disparity, disparity)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize("margin", [4.0, 2.0])
def test_step_is_that_of_the_paper(sizes, margin):
    method = tiny_method(Mdd, margin=margin, adversary_width=8)
    assert_same_step(method, tiny_batch(*sizes), lambda *arguments: algorithm(*arguments, margin=margin))


def test_predictions_are_constants_for_the_adversary():
    method, batch = tiny_method(Mdd), tiny_batch()
    disparity = method.losses(*method.passes(batch)[:2])["disparity"]
    assert torch.autograd.grad(disparity, method.classifier.head.weight, allow_unused=True) == (None,)


def test_adversary_learns_at_full_speed_before_the_features_do():
    method, batch = tiny_method(Mdd, progress=0.0), tiny_batch()
    method.losses(*method.passes(batch)[:2])["disparity"].backward()
    assert all(not parameter.grad.any() for parameter in method.classifier.backbone.parameters())
    assert all(parameter.grad.any() for parameter in method.adversary.parameters())


def test_adversary_that_learns_alone_disagrees_on_the_target_only():
    method, batch = tiny_method(Mdd), tiny_batch(6, 6)
    source, target = method.passes(batch)[:2]
    # Features that tell the domains apart.
    source = source._replace(features=source.features.detach() + 3)
    target = target._replace(features=target.features.detach() - 3)
    optimizer = torch.optim.Adam(method.adversary.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        method.losses(source, target)["disparity"].backward()
        optimizer.step()
    assert (method.logged["adaptation/source_disagreement"], method.logged["adaptation/target_disagreement"]) == (0.0, 1.0)


def test_reversal_is_logged():
    method = tiny_method(Mdd, max_reversal=3.0)
    method.training_step(tiny_batch(), 0)
    assert method.logged["adaptation/reversal"] == pytest.approx(3 * (2 / (1 + math.exp(-5)) - 1))
