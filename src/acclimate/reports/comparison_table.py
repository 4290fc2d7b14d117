"""Comparison of finished runs as a table for the console, and its texts for other formats."""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table

from acclimate.config.messages import listed
from acclimate.diagnostics.negative_transfer import REFERENCE
from acclimate.files.printable import printable, printable_lines
from acclimate.reports.comparison_rows import TARGET, DataTable, Row, short_settings
from acclimate.reports.significance import MIN_PAIRS, Difference, Summary
from acclimate.runs.unfinished import Unfinished, list_unfinished
from acclimate.selection.model_selection import Pick

PICK = "▸"
ORACLE = "(oracle)"
# In characters: the least width of the names, the space in front of a column of numbers, and that around both.
NAME_WIDTH, GAP, EDGES = 20, 2, 3
HEADING_WIDTH = 12
MEASURES = {TARGET: "target accuracy", "source/test_accuracy": "source accuracy", "source/val_accuracy": "source val accuracy"}


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        heading: Its heading.
        cells: One cell for each row; the second line of a cell qualifies the first.
    """

    heading: str
    cells: list[list[str]]


class Section(NamedTuple):
    """A table as it is shown.

    Attributes:
        title: Its title, or an empty string.
        columns: Its columns, the names first.
    """

    title: str
    columns: list[Column]


def sections(table: DataTable) -> list[Section]:
    """Return the tables that show the rows of a data set: the results, and those on each of several targets or sources."""
    rows = table.rows
    settings = short_settings([row.comparison for row in rows])
    names = Column("method", [_name(row, settings[row.comparison.name]) for row in rows])
    results = Section(" ".join(table.data), [names, *_results(table)])
    if not table.places:
        return [results]
    each = [Column(place, [_mean_and_deviation(row.each.get(place)) for row in rows]) for place in table.places]
    return [results, Section(f"{MEASURES[table.measure].capitalize()} on each {table.measure.partition('/')[0]}", [names, *each])]


def _results(table: DataTable) -> list[Column]:
    """Return the columns of a table without the names, and without those that would be empty."""
    rows = table.rows

    def column(heading: str, lines: Callable[[Row], list[str]]) -> Column:
        return Column(heading, [lines(row) for row in rows])

    shown = [
        column("n", lambda row: [str(row.num)]),
        column(MEASURES.get(table.measure, table.measure), lambda row: ["unknown"] if row.result is None else _result(row.result)),
        column(f"vs {REFERENCE}", lambda row: [] if row.difference is None else _difference(row.difference, row.num)),
    ]
    if table.score is not None and table.score != table.measure:
        shown.append(column(table.score, lambda row: _number(row.score)))
    if table.shows_source:
        shown.append(column("source accuracy", lambda row: _number(row.source)))
    shown.append(column("seconds", lambda row: [] if row.seconds is None else [f"{row.seconds:.{0 if row.seconds >= 10 else 1}f}"]))
    return [one for one in shown if any(one.cells)]


def _name(row: Row, settings: list[str]) -> list[str]:
    mark, oracle = (f"{PICK} " if row.is_pick else ""), (f" {ORACLE}" if row.comparison.is_oracle else "")
    return [f"{mark}{row.comparison.method}{oracle}", *settings]


def _result(summary: Summary) -> list[str]:
    if summary.deviation is None or summary.interval is None:
        return [_digits(summary.mean)]
    low, high = map(_digits, summary.interval)
    return [f"{_digits(summary.mean)} ± {_digits(summary.deviation)}", f"[{low}, {high}]"]


def _mean_and_deviation(summary: Summary | None) -> list[str]:
    if summary is None:
        return []
    return [_digits(summary.mean), *([] if summary.deviation is None else [f"± {_digits(summary.deviation)}"])]


def _difference(difference: Difference, num: int) -> list[str]:
    lines = [_digits(difference.mean, "+")]
    if difference.p is not None:
        lines.append("p < 0.001" if difference.p < 0.001 else f"p = {difference.p:.3f}")
    return lines if difference.num == num else [*lines, f"in {difference.num} of {num}"]


def _number(value: float | None) -> list[str]:
    return [] if value is None else [_digits(value)]


def _digits(value: float, sign: str = "") -> str:
    """Return a number with four decimal places, or two significant digits if those would all be zero."""
    # The remainder of rounding, which may be negative.
    value = 0.0 if abs(value) < 1e-12 else value
    return f"{value:{sign}.4f}" if not value or abs(value) >= 0.00005 else f"{value:{sign}.1e}"


def notes(tables: Sequence[DataTable], picks: Sequence[Pick], unfinished: Sequence[Unfinished] = ()) -> list[str]:
    """Return the lines below the table: what its numbers mean, the picks of the score and of the oracle, and the runs without results."""
    rows = [row for table in tables for row in table.rows]
    lines = []
    if any(row.result is not None and row.result.interval for row in rows):
        lines.append(
            "± standard deviation over n seeds and folds; [95 % confidence interval of the mean, Student's t; of accuracies, the part "
            "within 0 and 1]."
        )
    if any(row.difference is not None for row in rows):
        lines.append(
            f"vs {REFERENCE}: mean difference in the same seeds and folds; p of a paired t-test from {MIN_PAIRS} pairs on, "
            "not corrected for the number of rows."
        )
    if any(row.difference is not None and row.difference.num >= MIN_PAIRS and row.difference.p is None for row in rows):
        lines.append("Without p: the difference is the same in all pairs, so a t-test is not defined.")
    if any(table.shows_source for table in tables):
        lines.append("The target's labels are unknown: rows are ordered by the score; accuracy on the source is not that on the target.")
    if any(row.comparison.is_oracle for row in rows):
        lines.append(f"{ORACLE}: target labels selected the checkpoint, or one that it started from, so it is never the pick.")
    scored = [(table.score, row) for table in tables if table.score is not None for row in table.rows if not row.comparison.is_oracle]
    for score in sorted({score for score, row in scored if row.score is None}):
        lines.append(f"Without {score}: a run of the row has no finite value of it, so the row is never the pick.")
    # In the order of the tables.
    picks = sorted((pick for pick in picks if len(pick.run_scores) > 1), key=lambda pick: sorted(pick.data))
    lines += [line for pick in picks for line in describe_pick(pick).split("\n")]
    if unfinished:
        lines.append(f"Without results, so not in the table, {list_unfinished(unfinished)}.")
    return lines


def describe_pick(pick: Pick) -> str:
    """Describe the pick of a score, its accuracy, and the pick of the oracle."""
    data = "".join(f" on {text}" for text in sorted(pick.data) if text not in pick.name)
    accuracy = "" if pick.accuracy is None else f", target test accuracy {pick.accuracy:.4f}"
    tied = f" The same score: {listed(sorted(pick.tied))}; the first by name is picked." if pick.tied else ""
    text = f"{PICK} Pick by {pick.by}, without target labels{data}: {pick.name}{accuracy}.{tied} Its best run: {pick.run}"
    if pick.accuracy is None or pick.oracle_accuracy is None or len(pick.scores) == 1:
        return text
    gap = 100 * (pick.oracle_accuracy - pick.accuracy)
    return f"{text}\nOracle, by target test labels: {pick.oracle_name}, {pick.oracle_accuracy:.4f}. Gap: {gap:.2f} points."


def print_table(console: Console, tables: Sequence[DataTable], lines: Sequence[str]) -> None:
    """Print the tables of each data set, the lowest results first, followed by the lines of `notes`."""
    for table in tables:
        for place, section in enumerate(sections(table)):
            if section.title:
                console.print(printable(section.title), soft_wrap=True)
            names, *numbers = section.columns
            if place == 0:
                marked = [[*cell, str(row.run)] if row.is_pick else cell for cell, row in zip(names.cells, table.rows, strict=True)]
                names = names._replace(cells=marked)
            for block in _blocks(numbers, console.width - NAME_WIDTH - EDGES):
                _print_columns(console, names, block)
    for line in lines:
        console.print(printable_lines(line), soft_wrap=True)


def _blocks(columns: Sequence[Column], width: int) -> Iterator[list[Column]]:
    """Yield the columns in groups that fit into a number of characters; a column that is wider is alone."""
    block, left = list[Column](), width
    for column in columns:
        if block and _width(column) > left:
            yield block
            block, left = [], width
        block.append(column)
        left -= _width(column)
    yield block


def _width(column: Column) -> int:
    lines = [_heading(column.heading), *(_cell(cell) for cell in column.cells)]
    return max(cell_len(line) for text in lines for line in text.split("\n")) + GAP


def _print_columns(console: Console, names: Column, numbers: Sequence[Column]) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    # Names are folded, but numbers are not cut, even if the terminal is too narrow.
    table.add_column(names.heading, overflow="fold", min_width=NAME_WIDTH)
    for column in numbers:
        table.add_column(_heading(column.heading), justify="right", no_wrap=True)
    for cells in zip(names.cells, *(column.cells for column in numbers), strict=True):
        table.add_row(*map(_cell, cells))
    needed = NAME_WIDTH + EDGES + sum(map(_width, numbers))
    if needed > console.width:
        table.width = needed
    console.print(table, crop=False)


def _cell(lines: Sequence[str]) -> str:
    return "\n".join(map(printable, lines))


def _heading(text: str) -> str:
    """Break a heading that is longer than numbers are."""
    lines = textwrap.wrap(printable(text), HEADING_WIDTH, break_long_words=False)
    parts = [part for line in lines for part in (re.findall(r"[^_]+_*|_+", line) if len(line) > HEADING_WIDTH else [line])]
    return "\n".join(line for part in parts for line in chop_cells(part, HEADING_WIDTH))
