"""Confusion matrices of a finished run, from its predictions for the test inputs."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from acclimate.runs.record import TEST_PREDICTIONS

# Larger matrices cannot be read.
MAX_CLASSES = 30


class Confusion(NamedTuple):
    """Counts of the predictions for the inputs of each class.

    Attributes:
        domain: The domain of the inputs.
        classes: The names of all K classes.
        counts: K rows of K counts, true classes in rows.
    """

    domain: str
    classes: list[str]
    counts: list[list[int]]

    @property
    def accuracy(self) -> float:
        """Share of correct predictions."""
        return sum(row[number] for number, row in enumerate(self.counts)) / sum(map(sum, self.counts))

    def shares(self) -> list[list[float]]:
        """Return the counts as shares of the inputs of each true class."""
        return [[count / max(sum(row), 1) for count in row] for row in self.counts]

    def mistakes(self) -> list[tuple[str, str, int]]:
        """Return the true class, the predicted class and the count of each kind of mistake, the most frequent first."""
        pairs = [
            (self.classes[true], self.classes[predicted], count)
            for true, row in enumerate(self.counts)
            for predicted, count in enumerate(row)
            if count and true != predicted
        ]
        return sorted(pairs, key=lambda pair: -pair[2])


def read_confusions(folder: Path) -> list[Confusion]:
    """Return a confusion matrix for each domain with labels; none if the predictions cannot be read."""
    counts: dict[str, Counter[tuple[str, str]]] = {}
    try:
        with (folder / TEST_PREDICTIONS).open(newline="") as file:
            rows = csv.reader(file)
            headings = next(rows, [])
            for _, domain, label, prediction, *_ in rows:
                if label:
                    counts.setdefault(domain, Counter())[_name(label), _name(prediction)] += 1
    except (OSError, ValueError, csv.Error):
        return []
    ordered = [heading[2:-1] for heading in headings[5:]]
    return [_confusion(domain, found, ordered) for domain, found in counts.items()]


def _name(cell: str) -> str:
    # The apostrophe of `csv_cell`.
    return cell.removeprefix("'")


def _confusion(domain: str, found: Counter[tuple[str, str]], ordered: Sequence[str]) -> Confusion:
    names = {name for pair in found for name in pair}
    classes = [*ordered, *sorted(names - set(ordered))]
    return Confusion(domain, classes, [[found[true, predicted] for predicted in classes] for true in classes])
