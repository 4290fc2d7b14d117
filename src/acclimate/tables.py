"""What the command prints at the end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from acclimate.comparison import Comparison, main_metric, mean_and_deviation
from acclimate.ranking import RankedBackbone

ORACLE = "oracle"


def print_metrics(metrics: Mapping[str, Any], *, folder: Path) -> None:
    """One row for each number of a run."""
    table = Table()
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    console = _console()
    console.print(table)
    console.print(f"Everything is in {folder}", soft_wrap=True)


def print_comparison(comparisons: Sequence[Comparison]) -> None:
    """One row for each method, worst first."""
    table = Table()
    table.add_column("method", overflow="fold", min_width=24)
    table.add_column("runs", justify="right")
    table.add_column("accuracy", justify="right", no_wrap=True)
    table.add_column("on")
    table.add_column("chosen without target labels?", overflow="fold")
    table.add_column("seconds", justify="right")
    for comparison in comparisons:
        metric = main_metric(comparison)
        mean, deviation = mean_and_deviation(comparison.values(metric))
        selections = sorted({str(run["selection/name"]) for run in comparison.metrics})
        honest = "no" if ORACLE in selections else "yes"
        table.add_row(
            comparison.name,
            str(len(comparison.metrics)),
            f"{mean:.4f}" + (f" ± {deviation:.4f}" if len(comparison.metrics) > 1 else ""),
            metric.removesuffix("_accuracy").replace("/", " "),
            f"{honest} ({', '.join(selections)})",
            f"{mean_and_deviation(comparison.values('train/seconds'))[0]:.0f}",
        )
    _console().print(table)


def print_ranking(backbones: Sequence[RankedBackbone]) -> None:
    """One row for each backbone, best first."""
    table = Table()
    table.add_column("model", overflow="fold")
    for name in ("LogME", "H-score", "features"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, logme, h_score, num_features in backbones:
        table.add_row(name, f"{logme:.4f}", "-" if h_score is None else f"{h_score:.4f}", str(num_features))
    _console().print(table)


def _console() -> Console:
    """As wide as the terminal; files, which have no width, get room for long rows."""
    console = Console()
    return console if console.is_terminal else Console(width=140)
