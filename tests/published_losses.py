"""Comparison of a loss with the value of published code for the same inputs."""

from typing import NamedTuple

import pytest
import torch
from published_inputs import chirp

TLLIB = "github.com/thuml/Transfer-Learning-Library at c4aa59e, tllib/"
ADAPT = "github.com/KevinMusgrave/pytorch-adapt at 1366df7, src/pytorch_adapt/layers/"


class Published(NamedTuple):
    """The result of a published function.

    Args:
        source: Repository, commit, file and name.
        loss: Ours, in the units of the published one.
        inputs: Of both.
        value: What it returned.
        slopes: The derivative along `chirp(..., phase=9.0)` for each input.
        tolerance: Relative; wider where the published code adds a small number or computes in float32.
    """

    source: str
    loss: object
    inputs: list[torch.Tensor]
    value: float
    slopes: list[float]
    tolerance: float = 1e-9


def assert_as_published(published: Published) -> None:
    """Compare the value of a loss, and its gradients where the published code gave them."""
    inputs = [values.clone().requires_grad_() for values in published.inputs]
    loss = published.loss(*inputs)
    assert loss.item() == pytest.approx(published.value, rel=published.tolerance)
    gradients = torch.autograd.grad(loss, inputs)
    for gradient, slope in zip(gradients, published.slopes, strict=False):
        found = (gradient * chirp(*gradient.shape, phase=9.0)).sum().item()
        assert found == pytest.approx(slope, rel=10 * published.tolerance, abs=10 * published.tolerance)
