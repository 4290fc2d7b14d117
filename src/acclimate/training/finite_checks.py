"""Checks that losses, gradients and weights are finite, with as few synchronisations with the device as possible."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Check(NamedTuple):
    """A check of an optimizer step before it is taken; tensors are on the device.

    Attributes:
        step: Number of the step, from 1.
        total: Sum of the squares of `norms`, a scalar, possibly still being copied to the CPU. It is finite if the loss, the
            gradients and their squares, which Adam and clipping also compute, are finite.
        norms: Norm of each parameter's gradient, shape (P,).
        parameters: The P parameters.
        losses: Losses by name, for each of the accumulated batches.
    """

    step: int
    total: Tensor
    norms: Tensor
    parameters: list[nn.Parameter]
    losses: list[dict[str, Tensor]]

    @property
    def fails(self) -> bool:
        """True if the step must not be taken; synchronises with the device unless the result has arrived."""
        return not math.isfinite(self.total.item())


class Pending(NamedTuple):
    """A check whose result is being copied to the CPU; the event is None if it has already arrived."""

    check: Check
    copied: torch.cuda.Event | None

    def wait(self) -> Check:
        """Return the check once its result has arrived."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.check


def check_step(step: int, parameters: list[nn.Parameter], losses: list[dict[str, Tensor]], scaler: Any) -> Check:
    """Check the gradients of parameters, and the losses.

    Args:
        step: Number of the step, from 1.
        parameters: Parameters that have a gradient.
        losses: Losses by name, for each of the accumulated batches.
        scaler: A `GradScaler`, whose overflows do not fail the check; None for gradients that are not scaled.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack(_norms(gradients))
    total = norms.dot(norms)
    if scaler is not None:
        loss = torch.stack([value.float() for terms in losses for value in terms.values()]).sum()
        total = torch.where(loss.isfinite() & (scaler._get_scale_async() >= 1), 0.0, total)
    return Check(step, total, norms, parameters, losses)


def copy_to_cpu(check: Check) -> Pending:
    """Start to copy the result of a check, without waiting for the device."""
    arriving = check._replace(total=check.total.to("cpu", non_blocking=True))
    copied = torch.cuda.Event() if check.total.is_cuda else None  # type: ignore[no-untyped-call]
    if copied is not None:
        copied.record()
    return Pending(arriving, copied)


def names_not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of floating-point tensors that are not finite; synchronises with the device once or twice."""
    tensors = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    # Ten times faster than checking each tensor; large numbers, whose squares overflow, are checked below as well.
    if not tensors or math.isfinite(torch.stack(_norms(list(tensors.values()))).sum().item()):
        return []
    finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()]).tolist()
    return [name for name, is_finite in zip(tensors, finite, strict=True) if not is_finite]


def _norms(tensors: list[Tensor]) -> list[Tensor]:
    # The norm of a large tensor would overflow in float16.
    dtype = torch.float32 if any(tensor.dtype == torch.float16 for tensor in tensors) else None
    norms = list(torch._foreach_norm(tensors, 2, dtype=dtype))
    return norms if all(norm.dtype == norms[0].dtype for norm in norms) else [norm.float() for norm in norms]
