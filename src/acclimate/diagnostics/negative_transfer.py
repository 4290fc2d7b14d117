"""Whether adaptation has made things worse, as far as that shows without target labels."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from acclimate.config.identity import differing, identity, without
from acclimate.errors import DataError
from acclimate.runs.record import METRICS, RunRecord, has_record, read_metrics, read_record

REFERENCE = "source_only"
# Comparable across runs: it depends on the predictions alone, in nats. Every run logs it, whatever selects its checkpoint.
SCORE = "score/information"


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
    """The scores of finished `source_only` runs beside a run that differ from it in the method alone, by their folders."""
    record = _record(folder)
    if record is None or record.name == REFERENCE:
        return {}
    return {run: score for file in sorted(folder.resolve().parent.glob(f"*/{METRICS}")) for run, score in _score(file.parent, record)}


def _score(run: Path, record: RunRecord) -> Iterator[tuple[Path, float]]:
    """The run with its score, if it is a reference."""
    other = _record(run)
    if other is not None and other.name == REFERENCE:
        first, second = (without(identity(one.config), "method") for one in (record, other))
        with contextlib.suppress(DataError):
            if not differing(first, second) and SCORE in (metrics := read_metrics(run)):
                yield run, metrics[SCORE]


def _record(run: Path) -> RunRecord | None:
    """The record of a run; None where there is none that can be read, which is no reason to fail at the end of another one."""
    try:
        return read_record(run) if has_record(run) else None
    except DataError:
        return None
