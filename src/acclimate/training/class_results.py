"""Results of each class in the final test."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.data.domains import Domains
from acclimate.files.atomic_files import write_table
from acclimate.scores.class_measures import class_measures
from acclimate.training.callbacks.final_predictions import FinalPredictions

PER_CLASS = "per_class.csv"
COLUMNS = ("domain", "class", "inputs", "accuracy", "precision", "recall", "f1", "balanced_accuracy")


def class_results(predictions: FinalPredictions, domains: Domains) -> list[dict[str, Any]]:
    """Return a row for each domain with labels and each of its classes.

    The first row of a domain has no class: its accuracy is that of all inputs, its balanced accuracy the mean recall of the
    classes that occur, and its precision, recall and F1 are means over the classes for which they are defined. In the other rows,
    accuracy and recall are equal, and there is no balanced accuracy. Measures that are undefined are None.

    Args:
        predictions: The predictions of a test.
        domains: The samples that were tested.
    """
    rows = []
    for domain, confusion in predictions.confusions(domains).items():
        found = class_measures(confusion)
        measures = (found.precision, found.recall, found.f1)
        accuracy = (confusion.trace() / confusion.sum()).item()
        means = [measure.nanmean().item() for measure in measures]
        rows.append(_row(domain, None, int(confusion.sum()), accuracy, *means, found.balanced_accuracy))
        for number, name in enumerate(domains.classes):
            own = [measure[number].item() for measure in measures]
            rows.append(_row(domain, name, int(found.support[number]), own[1], *own, math.nan))
    return rows


def _row(domain: str, name: str | None, inputs: int, *measures: float) -> dict[str, Any]:
    shown = [None if math.isnan(measure) else measure for measure in measures]
    return dict(zip(COLUMNS, (domain, name, inputs, *shown), strict=True))


def write_class_results(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows of `class_results` as comma-separated values; None becomes an empty cell."""
    cells = [
        ["" if value is None else f"{value:.6f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows
    ]
    write_table(file, [COLUMNS, *cells])
