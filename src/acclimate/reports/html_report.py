"""The comparison of finished runs as one HTML file that needs no network."""

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from acclimate.config.identity import show_settings, varying_settings, varying_within_classes
from acclimate.files.printable import printable
from acclimate.reports.comparison_rows import DataTable, Row
from acclimate.reports.comparison_table import Column, sections
from acclimate.reports.confusions import MAX_CLASSES, Confusion, read_confusions
from acclimate.reports.curves import read_answers, read_curves
from acclimate.runs.comparison import FinishedRun

# Limits that keep the file small enough for a browser.
MAX_RUNS_WITH_CURVES = 100
MAX_POINTS = 100
MAX_ROWS_WITH_DETAILS = 100
MAX_PICTURE_BYTES = 20_000_000
# Pictures of a run, in the order of the report.
PICTURES = ("class_shares*.png", "projection*.png", "predictions*.png", "samples*.png")


class Detail(NamedTuple):
    """The best run of a row.

    Attributes:
        row: Number of the row.
        name: The method and its settings.
        run: The folder of the run.
        answers: The lines of its verdict.
        confusions: Confusion matrices of its test inputs.
        pictures: Names of its pictures, and the pictures as addresses.
    """

    row: int
    name: str
    run: Path
    answers: list[str]
    confusions: list[Confusion]
    pictures: list[tuple[str, str]]


class ReportTable(NamedTuple):
    """A table of the report.

    Attributes:
        title: Its title, or an empty string.
        columns: The texts of its columns.
        rows: The numbers of its rows in the report and the rows, the best first.
    """

    title: str
    columns: list[Column]
    rows: list[tuple[int, Row]]


def html_report(tables: Sequence[DataTable], lines: Sequence[str]) -> str:
    """Return an HTML page with sortable tables, curves, confusion matrices, pictures, and the settings that differ.

    Args:
        tables: The tables.
        lines: The lines of `notes`.
    """
    shown: list[ReportTable] = []
    numbered: list[tuple[int, Row]] = []
    for table in tables:
        # The best first.
        best_first = table._replace(rows=table.rows[::-1])
        rows = list(enumerate(best_first.rows, start=len(numbered)))
        numbered += rows
        shown += [ReportTable(section.title, section.columns, rows) for section in sections(best_first)]
    details, left_out = _details(numbered)
    curves = _curves(numbered)
    folder = resources.files("acclimate.reports") / "html"
    environment = Environment(autoescape=True, finalize=_finalize, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((folder / "report.html").read_text()).render(
        # Both are part of this package.
        style=Markup((folder / "report.css").read_text()),
        script=Markup((folder / "report.js").read_text()),
        tables=shown,
        num_rows=len(numbered),
        num_runs=sum(len(row.comparison.runs) for _, row in numbered),
        notes=lines,
        settings=_settings(numbered),
        curves={"runs": curves, "names": [_name(row) for _, row in numbered], "first": f"score/{tables[0].score}"},
        num_curves=len(curves),
        details=details,
        detailed={detail.row for detail in details},
        left_out=left_out,
        max_classes=MAX_CLASSES,
    )


def _finalize(value: Any) -> Any:
    return printable(value) if isinstance(value, str | Path) and not isinstance(value, Markup) else value


def _name(row: Row) -> str:
    return printable(" ".join([row.comparison.method, *row.comparison.shown, *sorted(row.comparison.data)]))


def _settings(rows: Sequence[tuple[int, Row]]) -> tuple[list[str], list[list[str]]]:
    """Return the keys of the settings that differ, and their values in each row."""
    settings = [row.comparison.settings for _, row in rows]
    varying, within = varying_settings(settings), varying_within_classes(settings)
    found: list[dict[str, str]] = []
    for _, row in rows:
        pairs = [text.partition("=") for text in show_settings(row.comparison.settings, varying, within)]
        found.append({key: value for key, _, value in pairs})
    keys = sorted({key for settings in found for key in settings})
    return keys, [[settings.get(key, "") for key in keys] for settings in found]


def _curves(rows: Sequence[tuple[int, Row]]) -> list[dict[str, Any]]:
    """Return the curves of runs: first of the best run of each row, then of the others."""
    best = [(number, run) for number, row in rows for run in row.comparison.runs if run.folder == row.run]
    others = [(number, run) for number, row in rows for run in row.comparison.runs if run.folder != row.run]
    has_folds = len({run.repetition[1] for _, run in [*best, *others]}) > 1
    return [
        {"row": number, "name": printable(_repetition(run, has_folds)), "curves": found}
        for number, run in [*best, *others][:MAX_RUNS_WITH_CURVES]
        if (found := read_curves(run.folder, max_points=MAX_POINTS))
    ]


def _repetition(run: FinishedRun, has_folds: bool) -> str:
    seed, fold = run.repetition
    return f"seed {seed}, fold {fold}" if has_folds else f"seed {seed}"


def _details(rows: Sequence[tuple[int, Row]]) -> tuple[list[Detail], int]:
    """Return the details of the best run of each row, and the number of rows whose pictures were left out."""
    details, left_out, room = [], 0, MAX_PICTURE_BYTES
    for number, row in rows[:MAX_ROWS_WITH_DETAILS]:
        files = [file for pattern in PICTURES for file in sorted(row.run.glob(pattern)) if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        if size > room:
            files, left_out = [], left_out + 1
        else:
            room -= size
        pictures = [
            (file.stem.replace("_", " "), f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}") for file in files
        ]
        answers, confusions = read_answers(row.run), read_confusions(row.run)
        if answers or confusions or pictures:
            details.append(Detail(number, _name(row), row.run, answers, confusions, pictures))
    return details, left_out + max(len(rows) - MAX_ROWS_WITH_DETAILS, 0)
