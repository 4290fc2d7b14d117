"""Rows of the comparison of finished runs, for every format of the table."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from acclimate.config.identity import differing, without
from acclimate.diagnostics.negative_transfer import REFERENCE
from acclimate.reports.significance import Difference, Summary, paired_difference, summarise
from acclimate.runs.comparison import Comparison
from acclimate.selection.model_selection import SOURCE_ACCURACY, Pick

TARGET = "target/test_accuracy"
SOURCE = ("source/test_accuracy", "source/val_accuracy")


class Row(NamedTuple):
    """The results of runs that differ only in the seed and the fold.

    Attributes:
        comparison: The runs.
        result: Summary of the table's measure; None if it is unknown.
        difference: Difference of the measure to `source_only` on the same data and in the same seeds; None without such runs.
        score: Mean of the score that selects among the rows; None if a run has none.
        source: Mean accuracy on the source; None if it is unknown.
        seconds: Mean duration of training in seconds.
        each: Summary of the measure on each of several targets, or sources, by name.
        is_pick: True if the score selects this row.
        run: The folder of its run with the highest score, or of its first run without scores.
    """

    comparison: Comparison
    result: Summary | None
    difference: Difference | None
    score: float | None
    source: float | None
    seconds: float | None
    each: dict[str, Summary]
    is_pick: bool
    run: Path

    @property
    def num(self) -> int:
        """Number of seeds and folds."""
        return len({run.repetition for run in self.comparison.runs})


class DataTable(NamedTuple):
    """The rows of runs of the same data.

    Attributes:
        data: The settings of the data, if runs of several data sets are compared.
        measure: The name of what orders the rows: accuracy on the target; if its labels are unknown, the score that selects;
            without a target, accuracy on the source.
        score: The name of the score that selects; None if the runs have none.
        shows_source: True if the accuracy on the source has a column of its own.
        places: The names of several targets, or sources, on each of which the measure is known.
        rows: The lowest result first; rows without a result come before all others.
    """

    data: list[str]
    measure: str
    score: str | None
    shows_source: bool
    places: list[str]
    rows: list[Row]


def data_tables(comparisons: Sequence[Comparison], picks: Sequence[Pick]) -> list[DataTable]:
    """Return a table for each data set."""
    groups: dict[frozenset[str], list[Comparison]] = defaultdict(list)
    for comparison in comparisons:
        groups[comparison.data].append(comparison)
    chosen = {pick.data: pick for pick in picks}
    return [_table(groups[data], chosen.get(data)) for data in sorted(groups, key=sorted)]


def _table(comparisons: Sequence[Comparison], pick: Pick | None) -> DataTable:
    measure = _measure(comparisons, pick)
    domain, _, name = measure.partition("/")
    each = {place: f"{domain}/{place}/{name}" for place in _places(comparisons, domain, name)}
    known = [(comparison, _values(comparison, measure, pick)) for comparison in comparisons]
    references = [(comparison, values) for comparison, values in known if comparison.method == REFERENCE and values]
    rows = []
    for comparison, values in known:
        reference = None if comparison.method == REFERENCE else _nearest(comparison, values, references)
        difference = None if reference is None else paired_difference(values, reference)
        scores = {} if pick is None else pick.run_scores
        rows.append(
            Row(
                comparison,
                _summary(values, measure),
                difference,
                None if pick is None else pick.scores.get(comparison.name),
                _mean(next((found.values() for name in SOURCE if (found := comparison.measured(name))), ())),
                _mean(comparison.values("train/seconds")),
                {place: on for place, key in each.items() if (on := _summary(_values(comparison, key, None), key))},
                pick is not None and pick.name == comparison.name and len(pick.run_scores) > 1,
                max((run.folder for run in comparison.runs), key=lambda folder: scores.get(folder, float("-inf"))),
            )
        )
    rows.sort(key=lambda row: float("-inf") if row.result is None else row.result.mean)
    return DataTable(sorted(comparisons[0].data), measure, pick and pick.by, measure not in (TARGET, *SOURCE), list(each), rows)


def _measure(comparisons: Sequence[Comparison], pick: Pick | None) -> str:
    if any(comparison.values(TARGET) for comparison in comparisons):
        return TARGET
    if pick is not None and any(_has_target(comparison) for comparison in comparisons):
        return pick.by
    return next((name for name in SOURCE if any(comparison.values(name) for comparison in comparisons)), SOURCE[0])


def _places(comparisons: Sequence[Comparison], domain: str, name: str) -> list[str]:
    """Return the names of several targets, or sources, that have a metric of their own, such as `target/NAME/test_accuracy`."""
    keys = sorted({key for comparison in comparisons for run in comparison.metrics for key in run})
    before, after = f"{domain}/", f"/{name}"
    return [
        key[len(before) : -len(after)] for key in keys if key.startswith(before) and key.endswith(after) and len(key) > len(before + after)
    ]


def _has_target(comparison: Comparison) -> bool:
    """Return True if any run has a score of target predictions."""
    return any(name.startswith("score/") and name != f"score/{SOURCE_ACCURACY}" for run in comparison.metrics for name in run)


def _values(comparison: Comparison, measure: str, pick: Pick | None) -> dict[tuple[str, str], float]:
    """Return the measure of each seed and fold; empty if a run has none."""
    if pick is None or measure != pick.by:
        return comparison.measured(measure)
    return comparison.repeated(pick.run_scores) if comparison.name in pick.scores else {}


def _summary(values: Mapping[tuple[str, str], float], measure: str) -> Summary | None:
    limits = {"low": 0.0, "high": 1.0} if measure.endswith("accuracy") else {}
    return summarise(list(values.values()), **limits) if values else None


def _nearest(
    comparison: Comparison, values: Mapping[tuple[str, str], float], references: Sequence[tuple[Comparison, dict[tuple[str, str], float]]]
) -> dict[tuple[str, str], float] | None:
    """Return the values of the `source_only` runs in the same seeds and folds whose other settings differ least.

    Of equally near ones, those with the highest mean count, so that no difference looks larger than it is.
    """
    settings = without(comparison.settings, "method", "init_from")

    def nearness(reference: tuple[Comparison, dict[tuple[str, str], float]]) -> tuple[int, float]:
        near = len(differing(settings, without(reference[0].settings, "method", "init_from")))
        return -near, statistics.fmean(reference[1].values())

    paired = [reference for reference in references if values.keys() & reference[1].keys()]
    return max(paired, key=nearness, default=(None, None))[1]


def _mean(values: Collection[float]) -> float | None:
    return statistics.fmean(values) if values else None


def short_settings(comparisons: Sequence[Comparison]) -> dict[str, list[str]]:
    """Return the shown settings of each comparison, by its name, with keys and numbers as short as they are unambiguous.

    A key loses its groups, and a number its digits after the fourth significant one, unless two would look alike.
    """
    pairs = {comparison.name: [text.partition("=")[::2] for text in comparison.shown] for comparison in comparisons}
    keys = _shortened({key for settings in pairs.values() for key, _ in settings}, lambda key: key.rpartition(".")[2])
    values: dict[str, dict[str, str]] = {}
    for key in keys:
        values[key] = _shortened({value for settings in pairs.values() for other, value in settings if other == key}, _rounded)
    return {name: [f"{keys[key]}={values[key][value]}" for key, value in settings] for name, settings in pairs.items()}


def _shortened(texts: set[str], shorten: Callable[[str], str]) -> dict[str, str]:
    several = defaultdict(set)
    for text in texts:
        several[shorten(text)].add(text)
    return {text: short if len(same) == 1 else text for short, same in several.items() for text in same}


def _rounded(text: str) -> str:
    try:
        return text if len(text) <= 6 else f"{float(text):.4g}"
    except ValueError:
        return text
