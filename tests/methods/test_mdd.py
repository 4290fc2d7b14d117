"""MDD."""

import math

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.methods.mdd import Mdd


def algorithm(method, batch):
    """Zhang et al., ICML 2019, section 5, as a game of two players instead of a reversed gradient."""
    strength = 0.1 * (2 / (1 + math.exp(-10 * 0.5)) - 1)
    features, logits = method.classifier(batch.source.images)
    target_features, target_logits = method.classifier(batch.target.views[0])
    agreement = F.cross_entropy(method.adversary(features), logits.argmax(dim=1))
    avoided = F.softmax(method.adversary(target_features), dim=1)[torch.arange(len(target_logits)), target_logits.argmax(dim=1)]
    disparity = 4.0 * agreement - torch.log(1 - avoided).mean()
    classification = F.cross_entropy(logits, batch.source.labels)
    return Objectives({"classification": classification, "disparity": disparity}, classification - strength * disparity, disparity)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes):
    assert_same_step(tiny_method(Mdd, adversary_width=8), tiny_batch(*sizes), algorithm)


def test_adversary_learns_at_full_speed_before_the_features_do():
    method, batch = tiny_method(Mdd, progress=0.0), tiny_batch()
    method.losses(batch, *method.predict_domains(batch))["disparity"].backward()
    assert all(not parameter.grad.any() for parameter in method.classifier.backbone.parameters())
    assert all(parameter.grad.any() for parameter in method.adversary.parameters())


def test_predictions_are_constants_for_the_adversary():
    method, batch = tiny_method(Mdd), tiny_batch()
    disparity = method.losses(batch, *method.predict_domains(batch))["disparity"]
    assert torch.autograd.grad(disparity, method.classifier.head.weight, allow_unused=True) == (None,)


@pytest.mark.parametrize("wrong", [{"margin": 0.0}, {"max_reversal": -1.0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        tiny_method(Mdd, **wrong)
