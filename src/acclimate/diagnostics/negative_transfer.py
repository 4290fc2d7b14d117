"""Detection of negative transfer without target labels."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acclimate.config.identity import differing, identity, without
from acclimate.errors import DataError
from acclimate.runs.record import METRICS, RunRecord, has_record, read_metrics, read_record
from acclimate.selection.model_selection import PREDICTIONS

if TYPE_CHECKING:
    from torch import Tensor

REFERENCE = "source_only"
# Comparable across runs, because it depends only on the predictions, in nats. Every run logs it, whatever its selection.
SCORE = "score/information"


def negative_transfer(folder: Path, metrics: Mapping[str, Any]) -> str | None:
    """Return a message if a run scores below a `source_only` run in the same folder with the same settings, else None.

    Both scores are those of the selected checkpoint. They do not measure accuracy: a method that is certain and wrong scores
    well.

    Args:
        folder: The folder of the run; next to it are the runs of its sweep, or for single runs those of its day.
        metrics: The metrics of the run, before they are written to `metrics.json`.
    """
    value = metrics.get(SCORE, math.nan)
    below = {run: score for run, score in reference_scores(folder).items() if value < score}
    if not below:
        return None
    run = next(iter(below))
    return (
        f"Negative transfer suspected: {SCORE} is {value:.3f}, but {below[run]:.3f} in {run}, which did not use the target. "
        f"Try a weaker alignment (method.max_reversal=0.1), method.target_class_weights=estimated, or keep method={REFERENCE}."
    )


def reference_scores(folder: Path) -> dict[Path, float]:
    """Return the scores, by folder, of finished `source_only` runs next to a run that differ from it only in the method."""
    record = _record(folder)
    if record is None or record.name == REFERENCE:
        return {}
    return {run: score for file in sorted(folder.resolve().parent.glob(f"*/{METRICS}")) for run, score in _score(file.parent, record)}


def reference_predictions(folder: Path) -> "Tensor | None":
    """Return the classes that such a run predicts for the target's validation inputs, int64, shape (N,); None if there is none.

    Args:
        folder: The folder of a run whose record is written.
    """
    import torch

    from acclimate.data.archives import read_arrays

    for run in reference_scores(folder):
        # A damaged file can make NumPy raise anything, and must not end another run.
        with contextlib.suppress(Exception):
            return torch.from_numpy(read_arrays(run / PREDICTIONS, ("probabilities",))["probabilities"]).argmax(dim=1)
    return None


def _score(run: Path, record: RunRecord) -> Iterator[tuple[Path, float]]:
    """Yield the run with its score, if it is a reference."""
    other = _record(run)
    if other is not None and other.name == REFERENCE:
        first, second = (without(identity(one.config), "method") for one in (record, other))
        with contextlib.suppress(DataError):
            if not differing(first, second) and SCORE in (metrics := read_metrics(run)):
                yield run, metrics[SCORE]


def _record(run: Path) -> RunRecord | None:
    """Return the record of a run, or None if it cannot be read, which must not make another run fail at its end."""
    try:
        return read_record(run) if has_record(run) else None
    except DataError:
        return None
