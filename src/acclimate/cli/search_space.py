"""Values and intervals that a search chooses from."""

from collections.abc import Sequence
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from acclimate.cli.sweep_mistakes import shown
from acclimate.errors import ConfigError

Space = dict[str, BaseDistribution]


def search_space(overrides: Sequence[Override]) -> tuple[Space, list[str]]:
    """Return the distributions of the overrides that have several values or an interval, and the other overrides."""
    space: Space = {}
    fixed = []
    for one in overrides:
        if one.is_sweep_override():
            space[one.get_key_element()] = _distribution(one)
        else:
            fixed.append(f"{one.get_key_element()}={one.get_value_element_as_str()}")
    return space, fixed


def _distribution(override: Override) -> BaseDistribution:
    try:
        return _read_distribution(override)
    except ValueError as error:
        reason = str(error).replace("`", "")
        raise ConfigError(f"{shown(override)} is not a range to search: {reason.rstrip('.')}.") from error


def _read_distribution(override: Override) -> BaseDistribution:
    value: Any = override.value()
    if override.is_interval_sweep():
        if value.start >= value.end:
            raise ValueError("the second number must be larger than the first")
        if unknown := sorted(value.tags - {"log"}):
            raise ValueError(f"{unknown[0]} is not a tag, tag(log,interval(1e-4,1e-2)) searches on a logarithmic scale")
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        log = "log" in value.tags
        if log and value.start <= 0:
            raise ValueError("on a logarithmic scale, numbers must be above 0")
        return IntDistribution(value.start, value.end, log=log) if whole else FloatDistribution(value.start, value.end, log=log)
    texts = list(override.sweep_string_iterator())
    if override.is_range_sweep() and not value.shuffle and len(texts) > 1:
        numbers = [yaml.safe_load(text) for text in texts]
        low, high, step = min(numbers), max(numbers), abs(value.step)
        whole = all(isinstance(number, int) for number in numbers)
        return IntDistribution(low, high, step=step) if whole else FloatDistribution(low, high, step=step)
    return CategoricalDistribution(texts)


def samples_of(space: Space, fixed: Sequence[str]) -> list[list[str]]:
    """Return the overrides of two jobs of a search, with the first and with the last values of all keys."""
    first, last = list(fixed), list(fixed)
    for key, one in space.items():
        low, high = (one.choices[0], one.choices[-1]) if isinstance(one, CategoricalDistribution) else (one.low, one.high)  # type: ignore[attr-defined]
        first.append(f"{key}={low}")
        last.append(f"{key}={high}")
    return [first, last]
