"""Stepwise adaptive feature norm."""

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.methods.afn import Afn


def algorithm(method, batch, *, weight, step):
    """Xu et al., ICCV 2019, the stepwise variant, sample by sample."""
    source_features, source_logits = method.classifier(batch.source.inputs)
    target_features, _ = method.classifier(batch.target.views[0])
    growth = 0.0
    for features in (source_features, target_features):
        for feature in features:
            norm = (feature**2).sum().sqrt()
            growth = growth + (norm.item() + step - norm) ** 2 / len(features)
    classification = F.cross_entropy(source_logits, batch.source.labels)
    return Objectives({"classification": classification, "feature_norm": weight * growth}, classification + weight * growth)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize(("weight", "step"), [(0.05, 1.0), (0.2, 0.3)])
def test_step_is_that_of_the_paper(sizes, weight, step):
    method = tiny_method(Afn, norm_weight=weight, step=step)
    assert_same_step(method, tiny_batch(*sizes), lambda *arguments: algorithm(*arguments, weight=weight, step=step))


def test_norms_of_both_domains_grow_and_are_logged():
    norms = {}
    for weight in (0.0, 0.5):
        method, batch = tiny_method(Afn, norm_weight=weight), tiny_batch()
        optimizer = method.configure_optimizers()["optimizer"]
        for _ in range(10):
            optimizer.zero_grad()
            method.training_step(batch, 0).backward()
            optimizer.step()
        norms[weight] = method.logged["adaptation/source_norm"], method.logged["adaptation/target_norm"]
    assert all(grown > left + 0.1 for grown, left in zip(norms[0.5], norms[0.0], strict=True))


def test_logged_norms_are_means_over_samples():
    method, batch = tiny_method(Afn), tiny_batch()
    source, target = method.passes(batch)[:2]
    method.losses(source._replace(features=torch.tensor([[3.0, 4.0], [0.0, 1.0]])), target._replace(features=torch.tensor([[0.0, 2.0]])))
    assert (method.logged["adaptation/source_norm"], method.logged["adaptation/target_norm"]) == (3.0, 2.0)
