"""Whether adaptation has made things worse, as far as that shows without target labels."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from acclimate.comparison import read_method, read_metrics

REFERENCE = "source_only"
# As Hydra leaves it: interpolations are not resolved, so that folders do not differ.
CONFIG = Path(".hydra", "config.yaml")
# Comparable across runs: it depends on the predictions alone, in nats. Every run logs it, whatever selects its checkpoint.
SCORE = "score/information"
# What must be equal for a comparison: everything but the method and what only reports.
COMPARED = ("seed", "data", "model", "optimizer", "scheduler", "selection", "trainer")


def negative_transfer(folder: Path, metrics: Mapping[str, Any]) -> str | None:
    """A message if a run scores below a `source_only` run beside it with the same settings; else, or without one, None.

    Both numbers are of the selected checkpoint. They say nothing of accuracy: a method that is certain and wrong scores well.

    Args:
        folder: Of the run; runs beside it are those of its sweep, or for single runs those of its day.
        metrics: What its `metrics.json` will hold.
    """
    value = metrics.get(SCORE, math.nan)
    below = {run: score for run, score in reference_scores(folder).items() if value < score}
    if not below:
        return None
    run = next(iter(below))
    return (
        f"Negative transfer suspected: {SCORE} is {value:.3f}, but {below[run]:.3f} in {run}, where the target was not looked at. "
        f"Try a gentler alignment (method.max_reversal=0.1), method.target_class_weights=estimated, or keep method={REFERENCE}."
    )


def reference_scores(folder: Path) -> dict[Path, float]:
    """The scores of finished `source_only` runs beside a run that have its settings, by their folders."""
    if not (folder / CONFIG).is_file() or read_method(folder) == REFERENCE:
        return {}
    settings = _compared_settings(folder)
    runs = [file.parent for file in sorted(folder.resolve().parent.glob("*/metrics.json")) if (file.parent / CONFIG).is_file()]
    references = [run for run in runs if read_method(run) == REFERENCE and _compared_settings(run) == settings]
    return {run: metrics[SCORE] for run in references if SCORE in (metrics := read_metrics(run))}


def _compared_settings(run: Path) -> dict[str, Any]:
    config = yaml.safe_load((run / CONFIG).read_text())
    return {key: config.get(key) for key in COMPARED}
