"""The precision in which losses are computed."""

import functools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function of tensors so that it computes in float32 at least, even under autocast.

    Half precision rounds 0.998 to 1, and its errors in sums of products are as large as the differences that losses measure.
    Tensors of lower precision are converted, including those in lists and tuples; float64 and integers are left unchanged.
    Autocast is disabled inside, because it would still multiply matrices in half precision.

    >>> @in_float32
    ... def total(values):
    ...     return values.sum()
    >>> total(torch.ones(1000, dtype=torch.bfloat16) / 3).dtype
    torch.float32
    """

    @functools.wraps(function)
    def precise(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next((tensor.device.type for tensor in _tensors([*args, *kwargs.values()])), "cpu")
        # Disabling autocast takes as long as a small layer.
        with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
            return function(*_converted(args), **{name: _converted(value) for name, value in kwargs.items()})

    return precise


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _converted(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() and value.dtype != torch.float64 else value
    return type(value)(map(_converted, value)) if isinstance(value, list | tuple) else value
