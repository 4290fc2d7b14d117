"""Losses that are not finite: how they reach the gradients, and what takes the place of one that cannot be computed."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from acclimate.errors import NotFiniteError
from acclimate.models.batch_norm import fixed_statistics


def spread(loss: Tensor) -> Tensor:
    """Return the loss itself; where it is not finite its gradients are NaN, so that whoever checks the gradients sees it."""
    return loss * (1 + 0 * loss.detach())


def explained_nan(error: Exception, method: nn.Module, predictions: Callable[[], Iterable[Tensor]]) -> dict[str, Tensor]:
    """Return a loss of NaN in place of those that numbers which are not finite have prevented, with a gradient for what trains.

    Args:
        error: What was raised.
        method: Whose weights are checked, unless the error says enough.
        predictions: Makes predictions for the batch, which are checked as well.

    Returns:
        The loss by a name that tells of the error.

    Raises:
        Exception: The error itself, if all numbers are finite.
    """
    if not isinstance(error, NotFiniteError | LinAlgError) and _are_finite(method, predictions):
        raise error
    reached = torch.stack([parameter.sum() for parameter in method.parameters() if parameter.requires_grad])
    return {f"not computed, as {str(error).splitlines()[0].rstrip('.')}:": torch.nan * reached.sum()}


@torch.no_grad()
def _are_finite(method: nn.Module, predictions: Callable[[], Iterable[Tensor]]) -> bool:
    """Whether all weights and predictions are finite; reads them from the device."""
    with fixed_statistics(method):
        return all(bool(tensor.isfinite().all()) for tensor in [*method.parameters(), *predictions()])
