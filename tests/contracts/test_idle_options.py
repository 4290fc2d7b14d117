"""Every option of every method changes the weights or the results, or is refused: an option that does nothing misleads comparisons."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from random_configurations import choices, nodes
from small_runs import METHODS, compose, differences, trained_state, with_value

from acclimate.config.components import PROVIDED
from acclimate.config.foreign import limits
from acclimate.config.instantiate import locate
from acclimate.config.signatures import parameters, type_hints
from acclimate.errors import ConfigError
from acclimate.training import run

VALUES = [0.5, 0.25, 2, 3, 1, 0.1, 0.9, 8, 0.0, 1.5, 100, [1.0], None]
# Settings under which options matter that do not in a tiny run.
SETTINGS = {
    "cdan": ("method.max_map_outputs=8",),
    "cdan_e": ("method.max_map_outputs=8",),
    "pseudo_label": ("method.terms.pseudo_label.threshold=0.0",),
    "shot": ("optimizer.lr=0.1",),
}
WITHOUT_EFFECT = {
    # Components of a user.
    *((name, "method.extras") for name in METHODS),
    # Without another domain in the batches, `separate` is the same as `joint`, and `frozen` is refused.
    ("ada_bn", "method.batch_norm"),
    ("tent", "method.batch_norm"),
    ("stoch_norm", "method.batch_norm"),
    # Only after a collapse.
    ("tent", "method.collapse_share"),
}


def options(config: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the options of the method and of its terms, by their keys, and other values that may be allowed."""
    for path, node in nodes(config["method"], "method"):
        target = locate(node["_target_"])
        hints = type_hints(target) | limits(node["_target_"])
        for name, parameter in parameters(target).items():
            provided = PROVIDED["method.terms" if path.startswith("method.terms.") else path]
            now = node.get(name, parameter.default)
            if parameter.kind == inspect.Parameter.VAR_KEYWORD or name in provided or isinstance(now, dict):
                continue
            yield f"{path}.{name}", [value for value in [*choices(hints.get(name, Any)), *VALUES] if value != now]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in METHODS if name != "co_tuning"])
def test_options_are_refused_or_change_the_run(archives: list[str], tmp_path: Path, name: str) -> None:
    def outcome(config: dict[str, Any]) -> dict[str, Any]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        metrics = run.train({**config, "folder": str(folder)})
        return trained_state(folder)["state_dict"] | {key: value for key, value in metrics.items() if "second" not in key}

    config = compose(tmp_path / "run", *archives, f"method={name}", "trainer.max_epochs=2", "callbacks={}", *SETTINGS.get(name, ()))
    usual = outcome(config)
    assert differences(usual, outcome(config)) == []
    idle = []
    for key, values in options(config):
        allowed = 0
        for value in values:
            try:
                changed = differences(usual, outcome(with_value(config, key, value))) != []
            except ConfigError:
                continue
            allowed += 1
            if changed or allowed == 5:
                break
        if allowed and not changed:
            idle.append(key)
    assert idle == sorted(key for method, key in WITHOUT_EFFECT if method == name and key in idle)
