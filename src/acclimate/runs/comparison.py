"""Finished runs, grouped by their settings."""

import contextlib
import logging
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acclimate.config.identity import (
    Settings,
    digest,
    identity,
    names_data,
    show_settings,
    varying_settings,
    varying_within_classes,
    without,
)
from acclimate.errors import DataError, command
from acclimate.runs.record import METRICS, RunRecord, has_record, is_oracle, origin_of, read_metrics, read_record, starts_from_oracle
from acclimate.runs.unfinished import list_unfinished, unfinished_runs

log = logging.getLogger(__name__)

# Distinguishes origins of the same name.
ORIGIN = "init_from.identity"


class FinishedRun(NamedTuple):
    """A finished run.

    Attributes:
        folder: Its folder.
        metrics: The contents of its `metrics.json`.
        repetition: Its seed, or its folder if the record has no seed, and its fold. It is equal in runs of different methods that
            can be compared in pairs.
        is_oracle: True if target labels selected its checkpoint, or one that it started from.
    """

    folder: Path
    metrics: dict[str, Any]
    repetition: tuple[str, str]
    is_oracle: bool


class Comparison(NamedTuple):
    """Runs that differ only in the seed and the fold.

    Attributes:
        name: The method, and the settings that differ between the compared runs.
        data: The settings of the data that differ; a selection is only possible among runs of the same data.
        runs: One or more runs.
        method: The name of the method.
        shown: The settings in the name that are not settings of the data.
        settings: The identity of the runs, except for the seed and the fold.
    """

    name: str
    data: frozenset[str]
    runs: list[FinishedRun]
    method: str
    shown: list[str]
    settings: Settings

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Metrics of each run."""
        return [run.metrics for run in self.runs]

    @property
    def is_oracle(self) -> bool:
        """True if target labels selected a checkpoint."""
        return any(run.is_oracle for run in self.runs)

    def values(self, key: str) -> list[float]:
        """Return a metric of all runs that have it."""
        return [run[key] for run in self.metrics if key in run]

    def measured(self, key: str) -> dict[tuple[str, str], float]:
        """Return a metric of each seed and fold; empty if a run does not have it."""
        values = {run.folder: run.metrics[key] for run in self.runs if key in run.metrics}
        return self.repeated(values) if len(values) == len(self.runs) else {}

    def repeated(self, values: Mapping[Path, float]) -> dict[tuple[str, str], float]:
        """Return the value of each seed and fold, from values by folder: the mean of runs that were trained twice."""
        found = defaultdict(list)
        for run in self.runs:
            if run.folder in values:
                found[run.repetition].append(values[run.folder])
        return {repetition: statistics.fmean(several) for repetition, several in found.items()}


def compare_runs(folders: Sequence[Path]) -> list[Comparison]:
    """Group all finished runs below the folders; runs with damaged files are logged and left out.

    Runs form a group if they have the same name and the same identity except for the seed, however their settings were
    typed.

    Raises:
        DataError: If a folder does not exist, or there is no finished run.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder. Type acclimate compare DIR, where DIR contains runs, such as outputs.")
    found = list(_read_runs(sorted({file.parent for folder in folders for file in folder.rglob(METRICS) if has_record(file.parent)})))
    if not found:
        raise DataError(f"No finished run below {', '.join(map(str, folders))}: none has a metrics.json. {_beginning(folders)}")
    groups: dict[tuple[str, str], list[_Known]] = defaultdict(list)
    for known in found:
        groups[known.record.name, digest(known.settings)].append(known)
    shown = _settings_to_show(found)
    varying = varying_settings([known.settings for known in found])
    within = varying_within_classes([group[0].settings for group in groups.values()])
    data = {key for key in varying if names_data(key)}
    comparisons = []
    for (name, _), group in groups.items():
        first = group[0]
        keys = shown[name] | _typed(first, varying)
        images = show_settings(first.settings, data, within)
        others = show_settings(first.settings, keys - data, within)
        named = " ".join([name, *sorted([*others, *show_settings(first.settings, keys & data, within)])])
        comparisons.append(Comparison(named, frozenset(images), [known.run for known in group], name, others, first.settings))
    return comparisons


def _beginning(folders: Sequence[Path]) -> str:
    """Return the end of a message about folders without a finished run: how to finish one."""
    unfinished = unfinished_runs(folders)
    resume = next((command("train", f"resume={folder}") for folder, _ in unfinished if has_record(folder)), command("train"))
    return f"Without results {list_unfinished(unfinished)}. Type {resume}." if unfinished else f"Start with {resume}."


class _Known(NamedTuple):
    """A finished run, its record and its identity except for the seed."""

    run: "FinishedRun"
    record: RunRecord
    settings: Settings


def _read_runs(folders: Sequence[Path]) -> Iterator[_Known]:
    for folder in folders:
        try:
            record, metrics = read_record(folder), read_metrics(folder)
            if "selection/name" not in metrics:
                raise DataError(f"{folder / METRICS} does not name the selection of the checkpoint: it has no selection/name.")
            run = FinishedRun(folder, metrics, _repetition(folder, record), is_oracle(metrics) or starts_from_oracle(record.config))
            yield _Known(run, record, _comparable(record))
        except DataError as error:
            log.warning("Left out: %s", error)


def _repetition(folder: Path, record: RunRecord) -> tuple[str, str]:
    seed, data = record.config.get("seed"), record.config.get("data")
    fold = data.get("fold") if isinstance(data, Mapping) else None
    return str(folder if seed is None else seed), str(fold or 0)


def _comparable(record: RunRecord) -> Settings:
    """Return the identity of a run except for the seed and the fold, with the identity of its origin instead of the origin's folder."""
    settings = without(identity(record.config), "seed", "data.fold")
    if any(text.lstrip("+").startswith("data.seed=") and "${" not in text for text in record.overrides):
        # The identity of a run has it only where it differs from the seed, but here it is the same for all seeds.
        settings["data.seed"] = record.config["data"]["seed"]
    origin = origin_of(record.config)
    if origin is not None:
        # If it cannot be read, the folder itself stands for it.
        with contextlib.suppress(DataError):
            before = read_record(origin)
            file = Path(record.config["init_from"]).relative_to(origin)
            settings |= {"init_from": str(Path(before.name) / file), ORIGIN: digest(_comparable(before))}
    return settings


def _settings_to_show(found: Sequence[_Known]) -> dict[str, set[str]]:
    """Return the settings in which runs of the same name differ, by name."""
    by_name = defaultdict(list)
    for known in found:
        by_name[known.record.name].append(known.settings)
    return {name: varying_settings(settings) for name, settings in by_name.items()}


def _typed(known: _Known, varying: set[str]) -> set[str]:
    """Return the typed settings of a run that differ in runs of other names, which also differ in the defaults of their methods."""
    typed = {text.lstrip("+").partition("=")[0] for text in known.record.overrides} - {"method"}
    return {key for key in varying - {ORIGIN} if any(key == text or key.startswith(f"{text}.") for text in typed)}
