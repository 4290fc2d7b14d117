"""The comparison of finished runs as text, Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from acclimate.diagnostics.negative_transfer import REFERENCE
from acclimate.files.printable import csv_cell, printable
from acclimate.reports.comparison_rows import DataTable
from acclimate.reports.comparison_table import PICK, Column, columns, notes, print_table
from acclimate.reports.tables import FILE_WIDTH
from acclimate.selection.model_selection import Pick


def render(tables: Sequence[DataTable], picks: Sequence[Pick], form: str) -> str:
    """Return the comparison in one of the formats table, markdown, latex, csv, html and json."""
    if form == "html":
        # Imported here, because other formats need neither Jinja nor TensorBoard.
        from acclimate.reports.html_report import html_report

        return html_report(tables, picks)
    writers = {"table": _text, "markdown": _markdown_tables, "latex": _latex_tables, "csv": _csv, "json": _json}
    return writers[form](tables, picks)


def _text(tables: Sequence[DataTable], picks: Sequence[Pick]) -> str:
    console = Console(file=io.StringIO(), width=FILE_WIDTH, markup=False, emoji=False)
    print_table(console, tables, picks)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def _markdown_tables(tables: Sequence[DataTable], picks: Sequence[Pick]) -> str:
    """Return a Markdown table for each data set, followed by the notes."""
    blocks = []
    for table in tables:
        shown = columns(table)
        lines = [[column.heading for column in shown], ["---", *["---:"] * (len(shown) - 1)], *_flat_rows(shown)]
        rows = "\n".join(f"| {' | '.join(map(_markdown, line))} |" for line in lines)
        blocks.append(f"{_markdown(' '.join(table.data))}\n\n{rows}" if table.data else rows)
    return "\n\n".join([*blocks, *map(_markdown, notes(tables, picks))]) + "\n"


def _latex_tables(tables: Sequence[DataTable], picks: Sequence[Pick]) -> str:
    """Return a LaTeX table of the package booktabs for each data set, preceded by the notes as comments."""
    blocks = [f"% {printable(note)}" for note in notes(tables, picks)]
    for table in tables:
        shown = columns(table)
        blocks += [f"% {printable(' '.join(table.data))}"] if table.data else []
        blocks += [f"\\begin{{tabular}}{{l{'r' * (len(shown) - 1)}}}", "\\toprule", _latex_row([column.heading for column in shown])]
        blocks += ["\\midrule", *map(_latex_row, _flat_rows(shown)), "\\bottomrule", "\\end{tabular}"]
    return "\n".join(blocks) + "\n"


def _flat_rows(shown: Sequence[Column]) -> list[list[str]]:
    return [[" ".join(lines) for lines in cells] for cells in zip(*(column.cells for column in shown), strict=True)]


# Characters with a meaning in Markdown or HTML.
MARKDOWN = {ord(character): f"\\{character}" for character in "\\`*_[]<>|#"}
LATEX = {ord(character): f"\\{character}" for character in "{}$&#%_"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("±"): r"$\pm$",
    ord(PICK): r"$\triangleright$",
}


def _markdown(text: str) -> str:
    return text if set(text) <= set("-:") else printable(text).translate(MARKDOWN)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(printable(cell).translate(LATEX) for cell in cells) + r" \\"


def _numbers(tables: Sequence[DataTable]) -> list[dict[str, Any]]:
    """Return a mapping for each row, with numbers in full precision and None for what is unknown, for CSV and JSON."""
    return [
        {
            "data": " ".join(table.data),
            "method": row.comparison.method,
            "settings": " ".join(row.comparison.shown),
            "n": row.result.num if row.result else len(row.comparison.runs),
            "measure": table.measure,
            "mean": row.result and row.result.mean,
            "deviation": row.result and row.result.deviation,
            "interval_low": row.result and row.result.interval and row.result.interval[0],
            "interval_high": row.result and row.result.interval and row.result.interval[1],
            f"minus_{REFERENCE}": row.difference and row.difference.mean,
            "paired_t_test_p": row.difference and row.difference.p,
            "pairs": row.difference and row.difference.num,
            "score": table.score,
            "score_mean": row.score,
            "source_accuracy": row.source,
            "train_seconds": row.seconds,
            "is_oracle": row.comparison.is_oracle,
            "is_pick": row.is_pick,
            "best_run": str(row.run),
        }
        for table in tables
        for row in table.rows
    ]


def _csv(tables: Sequence[DataTable], picks: Sequence[Pick]) -> str:
    rows = _numbers(tables)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(rows[0])
    writer.writerows([csv_cell(value) if isinstance(value, str) else value for value in row.values()] for row in rows)
    return text.getvalue()


def _json(tables: Sequence[DataTable], picks: Sequence[Pick]) -> str:
    methods = [
        {"name": row.comparison.name, **numbers, "runs": [{"folder": str(run.folder), **run.metrics} for run in row.comparison.runs]}
        for numbers, row in zip(_numbers(tables), (row for table in tables for row in table.rows), strict=True)
    ]
    chosen = [
        pick._asdict()
        | {"data": sorted(pick.data), "run": str(pick.run), "run_scores": {str(run): score for run, score in pick.run_scores.items()}}
        for pick in picks
    ]
    return json.dumps({"methods": methods, "picks": chosen}, indent=2, allow_nan=False) + "\n"
