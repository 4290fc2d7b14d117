"""AFN."""

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.methods.afn import Afn


def algorithm(method, batch):
    """Xu et al., ICCV 2019: each norm should be larger by the step than it is."""
    growth = 0.0
    logits = []
    for images in (batch.source.images, batch.target.views[0]):
        features, predicted = method.classifier(images)
        norms = features.pow(2).sum(dim=1).sqrt()
        growth = growth + ((norms.detach() + 0.5 - norms) ** 2).mean()
        logits.append(predicted)
    classification = F.cross_entropy(logits[0], batch.source.labels)
    return Objectives({"classification": classification, "feature_norm": 0.2 * growth}, classification + 0.2 * growth)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes):
    assert_same_step(tiny_method(Afn, norm_weight=0.2, step=0.5), tiny_batch(*sizes), algorithm)


def test_norms_of_both_domains_grow():
    method, batch = tiny_method(Afn, norm_weight=1.0), tiny_batch()
    before = method.predict_domains(batch)
    gradient = torch.autograd.grad(method.losses(batch, *before)["feature_norm"], list(method.classifier.bottleneck.parameters()))
    with torch.no_grad():
        for parameter, change in zip(method.classifier.bottleneck.parameters(), gradient, strict=True):
            parameter.sub_(0.01 * change)
    for old, new in zip(before, method.predict_domains(batch), strict=True):
        assert new.features.norm(dim=1).mean() > old.features.norm(dim=1).mean()


@pytest.mark.parametrize("wrong", [{"norm_weight": -1.0}, {"step": 0.0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        tiny_method(Afn, **wrong)
