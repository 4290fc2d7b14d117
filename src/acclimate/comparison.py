"""Finished runs, grouped by what they have in common."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from acclimate.errors import DataError

# Keys of `data` that say how images are served, and not which images there are.
SERVING = (
    "batch_size",
    "target_batch_size",
    "eval_batch_size",
    "num_workers",
    "epoch",
    "source_sampling",
    "source_view",
    "target_views",
    "strong_view",
    "fixed_views",
    "crop",
    "image_size",
    "feature_cache",
    "cache",
    "seed",
)


class FinishedRun(NamedTuple):
    """A run's folder and what `metrics.json` holds."""

    folder: Path
    metrics: dict[str, Any]


class Comparison(NamedTuple):
    """Runs that differ in nothing but the seed.

    Attributes:
        name: The method, and the settings that not all compared runs have in common.
        data: The overrides that say which images there are; only runs of the same data can be chosen among.
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
    """Mean and sample standard deviation; the deviation of fewer than two values is nan.

    >>> mean_and_deviation([1.0, 3.0])
    (2.0, 1.4142135623730951)
    """
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else float("nan")


def compare_runs(folders: Sequence[Path]) -> list[Comparison]:
    """All finished runs below the folders, worst first.

    Raises:
        DataError: If a folder does not exist, or there is no finished run.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder. Type acclimate compare DIR, where DIR holds runs, such as outputs.")
    runs = sorted({file.parent for folder in folders for file in folder.rglob("metrics.json") if (file.parent / ".hydra").is_dir()})
    if not runs:
        raise DataError(f"No finished run below {', '.join(map(str, folders))}: none has a metrics.json. Start with acclimate train.")
    settings = {run: read_settings(run) for run in runs}
    shared = set.intersection(*settings.values())
    groups = defaultdict(list)
    for run in runs:
        name = " ".join([read_method(run), *sorted(settings[run] - shared)])
        groups[name].append(run)
    comparisons = [
        Comparison(name, frozenset(filter(names_images, settings[group[0]])), [FinishedRun(run, read_metrics(run)) for run in group])
        for name, group in groups.items()
    ]
    return sorted(comparisons, key=_mean_accuracy)


def _mean_accuracy(comparison: Comparison) -> float:
    """For the order: what has no accuracy comes first."""
    metric = main_metric(comparison)
    return -1.0 if metric is None else statistics.fmean(comparison.values(metric))


def main_metric(comparison: Comparison) -> str | None:
    """The accuracy that the user cares about: on the target, on the source where the target has no labels, or None at all."""
    names = ("target/test_accuracy", "source/test_accuracy", "source/val_accuracy")
    return next((name for name in names if all(name in run for run in comparison.metrics)), None)


def read_metrics(run: Path) -> dict[str, Any]:
    """What a finished run's `metrics.json` holds."""
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return metrics


def read_method(run: Path) -> str:
    """The name of the method that a run was started with."""
    hydra = yaml.safe_load((run / ".hydra" / "hydra.yaml").read_text())["hydra"]
    return str(hydra["runtime"]["choices"]["method"])


def read_settings(run: Path) -> set[str]:
    """The overrides that a run was started with, but for the method and the seed; for a run to start from stands its method."""
    overrides = [text.lstrip("+") for text in yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text())]
    return {_name_origin(text) for text in overrides if text.split("=")[0] not in ("method", "seed", "resume")}


def _name_origin(override: str) -> str:
    """Runs of several seeds start from different folders, which is no difference between them."""
    key, _, place = override.partition("=")
    origin = Path(place.strip("'\""))
    return f"{key}={read_method(origin)}" if key == "init_from" and (origin / ".hydra" / "hydra.yaml").is_file() else override


def names_images(override: str) -> bool:
    """Whether an override says which images there are.

    >>> names_images("data.target=photographs"), names_images("data.batch_size=32"), names_images("optimizer.lr=0.1")
    (True, False, False)
    """
    group, _, key = override.partition("=")[0].partition(".")
    return group in ("data", "experiment") and key not in SERVING
