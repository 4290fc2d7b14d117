"""Tables that the command prints."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from acclimate.data.cache.store import Entry
from acclimate.files.printable import printable
from acclimate.runs.record import is_oracle

if TYPE_CHECKING:
    from acclimate.selection.backbone_ranking import RankedBackbone

SCORE = "score/"
# Of a table that is not written to a terminal.
FILE_WIDTH = 140
# More classes are not printed.
MAX_CLASSES = 40
MEASURES = ("precision", "recall", "f1")


def print_metrics(metrics: Mapping[str, Any], *, folder: Path | None = None) -> None:
    """Print a table with one row for each metric of a run.

    Args:
        metrics: The metrics; scores are left out.
        folder: The folder with all that belongs to them; None: there is none.
    """
    table = Table()
    table.add_column("metric", overflow="fold")
    table.add_column("value", justify="right", overflow="fold")
    shown = {name: value for name, value in metrics.items() if not name.startswith(SCORE)}
    for name, value in shown.items():
        _add_row(table, name, f"{value:.4f}" if isinstance(value, float) else str(value))
    console = console_of_tables()
    console.print(table)
    if is_oracle(metrics):
        console.print("Oracle: target labels selected this checkpoint. Its results do not show what you would get without them.")
    if folder is not None:
        console.print(printable(f"Everything is in {folder}"), soft_wrap=True)


def print_class_results(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of the results of each class for each domain; of many classes, those with the lowest recall."""
    console = console_of_tables()
    for domain in dict.fromkeys(row["domain"] for row in rows):
        total, *classes = [row for row in rows if row["domain"] == domain]
        table = Table(title=printable(f"{domain}, test part"), title_justify="left")
        table.add_column("class", overflow="fold")
        for name in ("inputs", "precision", "recall", "F1"):
            table.add_column(name, justify="right")
        ordered = sorted(classes, key=lambda row: 2.0 if row["recall"] is None else row["recall"])
        for row in classes if len(classes) <= MAX_CLASSES else ordered[:MAX_CLASSES]:
            _add_row(table, row["class"], str(row["inputs"]), *(_measure(row[name]) for name in MEASURES))
        table.add_section()
        _add_row(table, "(mean)", str(total["inputs"]), *(_measure(total[name]) for name in MEASURES))
        console.print(table)
        if len(classes) > MAX_CLASSES:
            console.print(f"The {MAX_CLASSES} of {len(classes)} classes with the lowest recall; out=FILE.json writes all of them.")
        console.print(f"Balanced accuracy, the mean recall: {_measure(total['balanced_accuracy'])}")


def _measure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


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
    console = console_of_tables()
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
    console_of_tables().print(table)


def _add_row(table: Table, *cells: str) -> None:
    table.add_row(*map(printable, cells))


def console_of_tables() -> Console:
    """Return a console as wide as the terminal or `COLUMNS`, or wide enough for long rows if the output is a file."""
    # No markup, because names may look like it.
    console = Console(markup=False, emoji=False)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=FILE_WIDTH, markup=False, emoji=False)
