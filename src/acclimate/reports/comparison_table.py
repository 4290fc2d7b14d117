"""Comparison of finished runs as a table for the console, and its texts for other formats."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from acclimate.diagnostics.negative_transfer import REFERENCE
from acclimate.files.printable import printable, printable_lines
from acclimate.reports.comparison_rows import TARGET, DataTable, Row, short_settings
from acclimate.reports.significance import MIN_PAIRS, Difference, Summary
from acclimate.selection.model_selection import Pick

PICK = "▸"
ORACLE = "(oracle)"
# The least width of the names, and the space between two columns, in characters.
NAME_WIDTH, GAP = 20, 2
MEASURES = {TARGET: "target accuracy", "source/test_accuracy": "source accuracy", "source/val_accuracy": "source val accuracy"}


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        heading: Its heading.
        cells: One cell for each row; the second line of a cell qualifies the first.
    """

    heading: str
    cells: list[list[str]]


def columns(table: DataTable) -> list[Column]:
    """Return the columns of a table, the names first, without those that would be empty."""
    rows = table.rows
    settings = short_settings([row.comparison for row in rows])

    def column(heading: str, lines: Callable[[Row], list[str]]) -> Column:
        return Column(heading, [lines(row) for row in rows])

    shown = [
        column("method", lambda row: _name(row, settings[row.comparison.name])),
        column("n", lambda row: [str(row.result.num if row.result else len(row.comparison.runs))]),
        column(MEASURES.get(table.measure, table.measure), lambda row: ["unknown"] if row.result is None else _result(row.result)),
        column(f"vs {REFERENCE}", lambda row: [] if row.difference is None else _difference(row.difference)),
    ]
    if table.score is not None and table.score != table.measure:
        shown.append(column(table.score, lambda row: _number(row.score)))
    if table.shows_source:
        shown.append(column("source accuracy", lambda row: _number(row.source)))
    shown.append(column("seconds", lambda row: [] if row.seconds is None else [f"{row.seconds:.0f}"]))
    return [one for one in shown if any(one.cells)]


def _name(row: Row, settings: list[str]) -> list[str]:
    mark, oracle = (f"{PICK} " if row.is_pick else ""), (f" {ORACLE}" if row.comparison.is_oracle else "")
    return [f"{mark}{row.comparison.method}{oracle}", *settings]


def _result(summary: Summary) -> list[str]:
    if summary.deviation is None or summary.interval is None:
        return [f"{summary.mean:.4f}"]
    return [f"{summary.mean:.4f} ± {summary.deviation:.4f}", "[{:.4f}, {:.4f}]".format(*summary.interval)]


def _difference(difference: Difference) -> list[str]:
    change = f"{difference.mean:+.4f}"
    if difference.p is None:
        return [change]
    return [change, "p < 0.001" if difference.p < 0.001 else f"p = {difference.p:.3f}"]


def _number(value: float | None) -> list[str]:
    return [] if value is None else [f"{value:.4f}"]


def notes(tables: Sequence[DataTable], picks: Sequence[Pick]) -> list[str]:
    """Return the lines below the table: what its numbers mean, and the picks of the score and of the oracle."""
    rows = [row for table in tables for row in table.rows]
    lines = []
    if any(row.result is not None and row.result.interval for row in rows):
        lines.append("± standard deviation over n seeds and folds; [95 % confidence interval of the mean, Student's t].")
    if any(row.difference is not None for row in rows):
        lines.append(
            f"vs {REFERENCE}: mean difference in the same seeds and folds; p of a paired t-test from {MIN_PAIRS} pairs on, "
            "not corrected for the number of rows."
        )
    if any(table.shows_source for table in tables):
        lines.append("The target's labels are unknown: rows are ordered by the score; accuracy on the source is not that on the target.")
    if any(row.comparison.is_oracle for row in rows):
        lines.append(f"{ORACLE}: target labels selected the checkpoint, so it is never the pick.")
    lines += [line for pick in picks if len(pick.run_scores) > 1 for line in describe_pick(pick).split("\n")]
    return lines


def describe_pick(pick: Pick) -> str:
    """Describe the pick of a score, its accuracy, and the pick of the oracle."""
    data = f" on {' '.join(sorted(pick.data))}" if pick.data else ""
    accuracy = "" if pick.accuracy is None else f", target test accuracy {pick.accuracy:.4f}"
    text = f"{PICK} Pick by {pick.by}, without target labels{data}: {pick.name}{accuracy}. Its best run: {pick.run}"
    if pick.accuracy is None or pick.oracle_accuracy is None:
        return text
    gap = 100 * (pick.oracle_accuracy - pick.accuracy)
    return f"{text}\nOracle, by target test labels: {pick.oracle_name}, {pick.oracle_accuracy:.4f}. Gap: {gap:.2f} points."


def _heading(text: str) -> str:
    """Break a heading that is longer than numbers are."""
    lines = text.replace(" ", "\n")
    return lines if max(map(len, lines.split("\n"))) <= 12 else lines.replace("_", "_\n")


def print_table(console: Console, tables: Sequence[DataTable], picks: Sequence[Pick]) -> None:
    """Print a table for each data set, the lowest results first, followed by the notes."""
    for table in tables:
        if table.data:
            console.print(printable(" ".join(table.data)), soft_wrap=True)
        printed = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        names, *numbers = shown = columns(table)
        # They keep their width, and names are folded.
        printed.add_column(names.heading, overflow="fold", min_width=NAME_WIDTH)
        for column in numbers:
            printed.add_column(_heading(column.heading), justify="right", no_wrap=True)
        for number, row in enumerate(table.rows):
            cells = ["\n".join(map(printable, column.cells[number])) for column in shown]
            if row.is_pick:
                cells[0] += f"\n{printable(row.run)}"
            printed.add_row(*cells)
        # A terminal that is too narrow wraps the rows, but numbers are not cut.
        lines = [[*_heading(column.heading).split("\n"), *itertools.chain(*column.cells)] for column in numbers]
        needed = NAME_WIDTH + sum(max(map(len, texts)) + GAP for texts in lines) + GAP
        if needed > console.width:
            printed.width = needed
        console.print(printed, crop=False)
    for note in notes(tables, picks):
        console.print(printable_lines(note), soft_wrap=True)
