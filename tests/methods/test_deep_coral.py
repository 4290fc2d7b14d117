"""Deep CORAL."""

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.methods.deep_coral import DeepCoral


def algorithm(method, batch):
    """Sun and Saenko, 2016: covariances as in its Eq. 2 and 3, from sums of products and products of sums."""
    covariances = []
    predictions = [method.classifier(images) for images in (batch.source.inputs, batch.target.views[0])]
    for features, _ in predictions:
        num, ones = len(features), torch.ones(1, len(features), dtype=features.dtype)
        sums = ones @ features
        covariances.append((features.T @ features - sums.T @ sums / num) / (num - 1))
    width = predictions[0].features.shape[1]
    losses = {
        "classification": F.cross_entropy(predictions[0].logits, batch.source.labels),
        "correlation": 100 * ((covariances[0] - covariances[1]) ** 2).sum() / (4 * width**2),
    }
    return Objectives(losses, sum(losses.values()))


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes):
    assert_same_step(tiny_method(DeepCoral), tiny_batch(*sizes), algorithm)
