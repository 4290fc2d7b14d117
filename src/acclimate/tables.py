"""What the command prints at the end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from acclimate.comparison import Comparison, main_metric, mean_and_deviation

ORACLE = "oracle"


def print_metrics(metrics: Mapping[str, Any], *, folder: Path) -> None:
    """One row for each number of a run."""
    table = Table(title=str(folder), title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)


def print_comparison(comparisons: Sequence[Comparison]) -> None:
    """One row for each method, worst first."""
    table = Table()
    for heading in ("method", "runs", "test accuracy", "of", "chosen without target labels?", "seconds"):
        table.add_column(heading, justify="left" if heading in ("method", "of") else "right")
    for comparison in comparisons:
        metric = main_metric(comparison)
        mean, deviation = mean_and_deviation(comparison.values(metric))
        selections = sorted({str(run["selection/name"]) for run in comparison.metrics})
        honest = "no" if ORACLE in selections else "yes"
        table.add_row(
            comparison.name,
            str(len(comparison.metrics)),
            f"{mean:.4f}" + (f" ± {deviation:.4f}" if len(comparison.metrics) > 1 else ""),
            metric.split("/")[0],
            f"{honest} ({', '.join(selections)})",
            f"{mean_and_deviation(comparison.values('train/seconds'))[0]:.0f}",
        )
    Console().print(table)
