"""Finished runs, grouped by what they have in common."""

import contextlib
import logging
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acclimate.config.identity import Settings, differing, digest, identity, names_images, show_settings, without
from acclimate.errors import DataError
from acclimate.runs.record import METRICS, RunRecord, has_record, read_metrics, read_record

log = logging.getLogger(__name__)

# Tells origins of one name apart.
ORIGIN = "init_from.identity"


class FinishedRun(NamedTuple):
    """A run's folder and what `metrics.json` holds."""

    folder: Path
    metrics: dict[str, Any]


class Comparison(NamedTuple):
    """Runs that differ in nothing but the seed.

    Attributes:
        name: The method, and the settings that not all compared runs have in common.
        data: The settings that say which images there are, where these differ; only runs of the same data can be chosen among.
        runs: At least one.
    """

    name: str
    data: frozenset[str]
    runs: list[FinishedRun]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return [run.metrics for run in self.runs]

    @property
    def is_oracle(self) -> bool:
        """Whether labels of the target selected a checkpoint."""
        return any(run["selection/name"] == "oracle" for run in self.metrics)

    def values(self, key: str) -> list[float]:
        """A metric of the runs that have it."""
        return [run[key] for run in self.metrics if key in run]


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; the deviation of fewer than two values, or of such that are not finite, is nan.

    >>> mean_and_deviation([1.0, 3.0])
    (2.0, 1.4142135623730951)
    """
    deviates = len(values) > 1 and all(map(math.isfinite, values))
    return statistics.fmean(values), statistics.stdev(values) if deviates else math.nan


def compare_runs(folders: Sequence[Path]) -> list[Comparison]:
    """All finished runs below the folders, worst first; a run whose files are broken is named in the log and left out.

    Runs are one row if they have the same name and the same identity but for the seed, however their settings were typed.

    Raises:
        DataError: If a folder does not exist, or there is no finished run.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder. Type acclimate compare DIR, where DIR holds runs, such as outputs.")
    found = list(_read_runs(sorted({file.parent for folder in folders for file in folder.rglob(METRICS) if has_record(file.parent)})))
    if not found:
        raise DataError(f"No finished run below {', '.join(map(str, folders))}: none has a metrics.json. Start with acclimate train.")
    groups: dict[tuple[str, str], list[_Known]] = defaultdict(list)
    for known in found:
        groups[known.record.name, digest(known.settings)].append(known)
    shown = _settings_to_show(found)
    data = [key for key in _varying([known.settings for known in found]) if names_images(key)]
    comparisons = []
    for (name, _), group in groups.items():
        first = group[0]
        label = " ".join([name, *show_settings(first.settings, shown[name] | _typed(first, found))])
        images = frozenset(show_settings(first.settings, data))
        comparisons.append(Comparison(label, images, [known.run for known in group]))
    return sorted(comparisons, key=_mean_accuracy)


class _Known(NamedTuple):
    """A finished run, its record and what identifies it but for the seed."""

    run: "FinishedRun"
    record: RunRecord
    settings: Settings


def _read_runs(folders: Sequence[Path]) -> Iterator[_Known]:
    for folder in folders:
        try:
            record, metrics = read_record(folder), read_metrics(folder)
            if "selection/name" not in metrics:
                raise DataError(f"{folder / METRICS} does not say what selected the checkpoint: it has no selection/name.")
            yield _Known(FinishedRun(folder, metrics), record, _comparable(record))
        except DataError as error:
            log.warning("Left out: %s", error)


def _comparable(record: RunRecord) -> Settings:
    """What a run is compared by: its identity but for the seed, where an origin counts by what it is and not by its folder."""
    settings = without(identity(record.config), "seed")
    origin = record.config.get("init_from")
    if isinstance(origin, str) and has_record(Path(origin)):
        # If it cannot be read, the folder itself has to do.
        with contextlib.suppress(DataError):
            before = read_record(Path(origin))
            settings |= {"init_from": before.name, ORIGIN: digest(_comparable(before))}
    return settings


def _varying(settings: Sequence[Settings]) -> set[str]:
    return {key for other in settings[1:] for key in differing(settings[0], other)}


def _settings_to_show(found: Sequence[_Known]) -> dict[str, set[str]]:
    """For each name the settings in which its runs differ."""
    by_name = defaultdict(list)
    for known in found:
        by_name[known.record.name].append(known.settings)
    return {name: _varying(settings) for name, settings in by_name.items()}


def _typed(known: _Known, found: Sequence[_Known]) -> set[str]:
    """Settings that were typed for a run and are others in runs of another name, which may differ in what their methods bring, too."""
    typed = {text.lstrip("+").partition("=")[0] for text in known.record.overrides} - {"method"}
    varying = _varying([other.settings for other in found])
    return {key for key in varying - {ORIGIN} if any(key == text or key.startswith(f"{text}.") for text in typed)}


def _mean_accuracy(comparison: Comparison) -> float:
    """For the order: what has no accuracy comes first."""
    metric = main_metric(comparison)
    mean = math.nan if metric is None else statistics.fmean(comparison.values(metric))
    return -1.0 if math.isnan(mean) else mean


def main_metric(comparison: Comparison) -> str | None:
    """The accuracy that the user cares about: on the target, on the source where the target has no labels, or None at all."""
    names = ("target/test_accuracy", "source/test_accuracy", "source/val_accuracy")
    return next((name for name in names if all(name in run for run in comparison.metrics)), None)
