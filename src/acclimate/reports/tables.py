"""Tables that the command prints."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from acclimate.data.cache.store import Entry
from acclimate.files.printable import printable, printable_lines
from acclimate.runs.comparison import Comparison, main_metric, mean_and_deviation
from acclimate.selection.model_selection import Pick

if TYPE_CHECKING:
    from acclimate.selection.backbone_ranking import RankedBackbone

SCORE = "score/"


def print_metrics(metrics: Mapping[str, Any], *, folder: Path) -> None:
    """Print a table with one row for each metric of a run."""
    table = Table()
    table.add_column("metric")
    table.add_column("value", justify="right")
    shown = {name: value for name, value in metrics.items() if not name.startswith(SCORE)}
    for name, value in shown.items():
        _add_row(table, name, f"{value:.4f}" if isinstance(value, float) else str(value))
    console = _console()
    console.print(table)
    if metrics["selection/name"] == "oracle":
        console.print("Oracle: target labels selected this checkpoint. Its results do not show what you would get without them.")
    console.print(printable(f"Everything is in {folder}"), soft_wrap=True)


def print_comparison(comparisons: Sequence[Comparison], picks: Sequence[Pick]) -> None:
    """Print a table with one row for each method, worst first, followed by the picks of the score and of the oracle."""
    scores = {(name, pick.data): score for pick in picks for name, score in pick.scores.items()}
    table = Table()
    table.add_column("method", overflow="fold", min_width=24)
    table.add_column("runs", justify="right")
    table.add_column("accuracy", justify="right", no_wrap=True)
    table.add_column("on")
    table.add_column("chosen without target labels?", overflow="fold")
    if picks:
        table.add_column(picks[0].by, justify="right")
    table.add_column("seconds", justify="right")
    for comparison in comparisons:
        metric = main_metric(comparison)
        accuracy = "unknown" if metric is None else _mean_with_deviation(comparison.values(metric))
        selections = sorted({str(run["selection/name"]) for run in comparison.metrics})
        score = scores.get((comparison.name, comparison.data))
        _add_row(
            table,
            comparison.name,
            str(len(comparison.metrics)),
            accuracy,
            "" if metric is None else metric.removesuffix("_accuracy").replace("/", " "),
            f"{'no' if comparison.is_oracle else 'yes'} ({', '.join(selections)})",
            *([] if not picks else ["" if score is None else f"{score:.4f}"]),
            f"{mean_and_deviation(seconds)[0]:.0f}" if (seconds := comparison.values("train/seconds")) else "",
        )
    console = _console()
    console.print(table)
    for pick in picks:
        if len(pick.scores) > 1:
            console.print(printable_lines(describe_pick(pick)), soft_wrap=True)


def _mean_with_deviation(values: Sequence[float]) -> str:
    mean, deviation = mean_and_deviation(values)
    return f"{mean:.4f}" + (f" ± {deviation:.4f}" if len(values) > 1 else "")


def describe_pick(pick: Pick) -> str:
    """Describe the pick of a score, its accuracy, and the pick of the oracle."""
    data = f" on {' '.join(sorted(pick.data))}" if pick.data else ""
    accuracy = "" if pick.accuracy is None else f", target test accuracy {pick.accuracy:.4f}"
    text = f"Pick by {pick.by}, without target labels{data}: {pick.name}{accuracy}. Its best run: {pick.run}"
    if pick.accuracy is None or pick.oracle_accuracy is None:
        return text
    gap = 100 * (pick.oracle_accuracy - pick.accuracy)
    return f"{text}\nOracle, by target test labels: {pick.oracle_name}, {pick.oracle_accuracy:.4f}. Gap: {gap:.2f} points."


def print_cache(entries: Sequence[Entry], *, folder: Path, limit: int) -> None:
    """Print a table with one row for each cache entry, the most recently used first."""
    table = Table()
    table.add_column("kind")
    table.add_column("what", overflow="fold")
    table.add_column("MB", justify="right")
    table.add_column("last used", no_wrap=True)
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        _add_row(table, entry.folder.parent.name, entry.about, f"{entry.size / 1e6:.1f}", used)
    console = _console()
    if entries:
        console.print(table)
    total = sum(entry.size for entry in entries)
    console.print(f"{total / 1e9:.2f} of at most {limit / 1e9:g} GB in {folder}", soft_wrap=True)


def print_ranking(backbones: Sequence["RankedBackbone"]) -> None:
    """Print a table with one row for each backbone, best first."""
    table = Table()
    table.add_column("model", overflow="fold")
    for name in ("LogME", "H-score", "LEEP", "features"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, *scores, num_features in backbones:
        _add_row(table, name, *("-" if score is None else f"{score:.4f}" for score in scores), str(num_features))
    _console().print(table)


def _add_row(table: Table, *cells: str) -> None:
    table.add_row(*map(printable, cells))


def _console() -> Console:
    """Return a console as wide as the terminal, or wide enough for long rows if the output is a file."""
    # No markup, because names may look like it.
    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(width=140, markup=False, emoji=False)
