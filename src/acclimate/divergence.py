"""Likely causes of a divergence, from a run's configuration."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

# Groups whose numbers change what a training computes.
GROUPS = ("method", "optimizer", "scheduler", "model", "data", "callbacks", "trainer")
# Weights and rates of published recipes lie below; whole numbers there are counts.
LARGE = 1000.0


def advice(config: Mapping[str, Any]) -> str:
    """A sentence that names the likely cause and what to type.

    Args:
        config: Plain and fully resolved.

    >>> advice({"method": {"max_reversal": math.nan}})
    'The likely cause is method.max_reversal=nan: set it to a finite number.'
    >>> advice({"optimizer": {"lr": 1e20}})
    'The likely cause is optimizer.lr=1e+20: try optimizer.lr=0.001.'
    """
    numbers = list(_numbers(config))
    for key, value in numbers:
        if not math.isfinite(value):
            return f"The likely cause is {key}={value}: set it to a finite number."
    rate = float(config.get("optimizer", {}).get("lr", 0.0))
    if rate > 1:
        return f"The likely cause is optimizer.lr={rate}: try optimizer.lr=0.001."
    large = [(key, value) for key, value in numbers if isinstance(value, float) and abs(value) > LARGE]
    if large:
        key, value = max(large, key=lambda one: abs(one[1]))
        return f"The likely cause is {key}={value}: try a smaller number."
    precise = "" if "32" in str(config.get("trainer", {}).get("precision")) else " or trainer.precision=32-true"
    lower = f"optimizer.lr={rate / 10:g}, " if rate else ""
    return f"Try {lower}trainer.gradient_clip_val=1{precise}."


def _numbers(node: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """All numbers with the keys that one would type for them."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if path or key in GROUPS:
                yield from _numbers(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _numbers(value, f"{path}[{place}]")
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path, node
