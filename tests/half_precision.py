"""Losses under autocast in bfloat16."""

from collections.abc import Callable

import torch
from torch import Tensor


def assert_finite_in_bf16(loss: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Check that a loss of bfloat16 inputs is in float32, and that the loss and its gradients are finite."""
    leaves = [one.detach().bfloat16().requires_grad_() for one in inputs]
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(*leaves)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in leaves)
