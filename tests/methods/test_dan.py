"""DAN."""

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.methods.dan import Dan


def algorithm(method, batch):
    """Long et al., ICML 2015: cross-entropy and MK-MMD, the estimate as sums over pairs of different samples."""
    source, source_logits = method.classifier(batch.source.inputs)
    target, _ = method.classifier(batch.target.views[0])
    both = [*source, *target]
    apart = [(a - b).square().sum().item() for i, a in enumerate(both) for j, b in enumerate(both) if i != j]
    mean_distance = sum(apart) / len(apart)

    def kernel(a, b):
        return sum(torch.exp(-(a - b).square().sum() / (2 * 2**power * mean_distance)) for power in range(-3, 2))

    def within(domain):
        values = [kernel(a, b) for i, a in enumerate(domain) for j, b in enumerate(domain) if i != j]
        return sum(values) / len(values)

    between = sum(kernel(a, b) for a in source for b in target) / (len(source) * len(target))
    losses = {
        "classification": F.cross_entropy(source_logits, batch.source.labels),
        "discrepancy": within(source) + within(target) - 2 * between,
    }
    return Objectives(losses, sum(losses.values()))


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes):
    assert_same_step(tiny_method(Dan), tiny_batch(*sizes), algorithm)


def test_discrepancy_is_logged_without_its_weight():
    method = tiny_method(Dan, discrepancy_weight=4.0)
    method.training_step(tiny_batch(), 0)
    assert 4 * method.logged["adaptation/discrepancy"] == pytest.approx(method.logged["loss/discrepancy"])
