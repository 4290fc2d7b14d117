"""Likely causes of a divergence, found in a run's configuration."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from acclimate.errors import command

# Groups whose numbers affect the computation of a training.
GROUPS = ("method", "optimizer", "scheduler", "model", "data", "callbacks", "trainer")
# Weights and rates of published recipes are smaller; larger whole numbers are counts.
LARGE = 1000.0


def advice(config: Mapping[str, Any]) -> str:
    """Return a sentence that names the likely cause and what to type.

    Args:
        config: The plain, fully resolved configuration.

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
        return f"The likely cause is optimizer.lr={rate}: try optimizer.lr={_lower(rate):g}."
    large = [(key, value) for key, value in numbers if isinstance(value, float) and abs(value) > LARGE]
    if large:
        key, value = max(large, key=lambda one: abs(one[1]))
        return f"The likely cause is {key}={value}: try a smaller number."
    precise = "" if "32" in str(config.get("trainer", {}).get("precision")) else " or trainer.precision=32-true"
    lower = f"optimizer.lr={_lower(rate):g}, " if rate else ""
    skips = config.get("trainer", {}).get("on_nonfinite") == "skip"
    skip = "" if skips else " If only a few batches are bad, leave them out: trainer.on_nonfinite=skip."
    return f"Try {lower}trainer.gradient_clip_val=1{precise}.{skip}"


def how_to_continue(config: Mapping[str, Any]) -> str:
    """Return a sentence with the command that continues a run from its last checkpoint with a lower learning rate.

    Args:
        config: The plain, fully resolved configuration of a run that has saved `last.ckpt`.

    >>> how_to_continue({"folder": "outputs/a", "optimizer": {"lr": 1e-3}})
    "To continue from there with a lower rate: acclimate train resume=outputs/a optimizer.lr=0.0001 'resume_with=[optimizer.lr]'"
    """
    rate = float(config.get("optimizer", {}).get("lr", 0.0))
    again = command("train", f"resume={config['folder']}", f"optimizer.lr={_lower(rate):g}", "resume_with=[optimizer.lr]")
    return f"To continue from there with a lower rate: {again}"


def _lower(rate: float) -> float:
    return rate / 10 if rate <= 1 else 0.001


def _numbers(node: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield all numbers with their keys as typed on the command line."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if path or key in GROUPS:
                yield from _numbers(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _numbers(value, f"{path}[{place}]")
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path, node
