"""Losses that are not finite: their gradients, and the replacement of a loss that cannot be computed."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from acclimate.errors import NotFiniteError, first_line
from acclimate.models.batch_norm import fixed_statistics


def spread(loss: Tensor) -> Tensor:
    """Return the loss unchanged; if it is not finite, all its gradients become NaN, so that a check of gradients finds it."""
    return loss * (1 + 0 * loss.detach())


def explained_nan(error: Exception, method: nn.Module, predictions: Callable[[], Iterable[Tensor]]) -> dict[str, Tensor]:
    """Return a NaN loss with gradients for all trainable weights, if an error was caused by numbers that are not finite.

    Args:
        error: The error that the computation of the losses raised.
        method: The module whose weights are checked, unless the type of the error is conclusive.
        predictions: Function that predicts the batch; its results are checked as well.

    Returns:
        The loss, under a name that contains the error's message.

    Raises:
        Exception: The given error, if all numbers are finite.
    """
    if not isinstance(error, NotFiniteError | LinAlgError) and _are_finite(method, predictions):
        raise error
    reached = torch.stack([parameter.sum() for parameter in method.parameters() if parameter.requires_grad])
    return {f"not computed, as {first_line(error)}:": torch.nan * reached.sum()}


@torch.no_grad()
def _are_finite(method: nn.Module, predictions: Callable[[], Iterable[Tensor]]) -> bool:
    """Return True if all weights and predictions are finite; synchronises with the device."""
    with fixed_statistics(method):
        return all(bool(tensor.isfinite().all()) for tensor in [*method.parameters(), *predictions()])
