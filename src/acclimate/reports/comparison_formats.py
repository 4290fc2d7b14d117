"""The comparison of finished runs as text, Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from acclimate.diagnostics.negative_transfer import REFERENCE
from acclimate.files.printable import csv_cell, printable
from acclimate.reports.comparison_rows import DataTable
from acclimate.reports.comparison_table import PICK, Column, Section, print_table, sections
from acclimate.reports.tables import FILE_WIDTH
from acclimate.runs.unfinished import Unfinished
from acclimate.selection.model_selection import Pick


def render(tables: Sequence[DataTable], picks: Sequence[Pick], lines: Sequence[str], unfinished: Sequence[Unfinished], form: str) -> str:
    """Return the comparison in one of the formats table, markdown, latex, csv, html and json.

    Args:
        tables: The tables.
        picks: The picks by a score.
        lines: The lines of `notes`.
        unfinished: Runs without results, which CSV and JSON list; in the other formats, `lines` name them.
        form: The format.
    """
    if form == "html":
        # Imported here, because other formats need neither Jinja nor TensorBoard.
        from acclimate.reports.html_report import html_report

        return html_report(tables, lines)
    if form == "json":
        return _json(tables, picks, lines, unfinished)
    if form == "csv":
        return _csv(tables, unfinished)
    return {"table": _text, "markdown": _markdown_tables, "latex": _latex_tables}[form](tables, lines)


def _text(tables: Sequence[DataTable], lines: Sequence[str]) -> str:
    console = Console(file=io.StringIO(), width=FILE_WIDTH, markup=False, emoji=False)
    print_table(console, tables, lines)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def _markdown_tables(tables: Sequence[DataTable], lines: Sequence[str]) -> str:
    """Return Markdown tables for each data set, followed by the notes."""
    blocks = []
    for title, columns in _sections(tables):
        heading, *rows = [list(map(_markdown, row)) for row in ([column.heading for column in columns], *_flat_rows(columns))]
        blocks += [_markdown(title)] if title else []
        rule = ["---", *["---:"] * (len(columns) - 1)]
        blocks.append("\n".join(f"| {' | '.join(row)} |" for row in (heading, rule, *rows)))
    return "\n\n".join([*blocks, *map(_markdown, lines)]) + "\n"


def _latex_tables(tables: Sequence[DataTable], lines: Sequence[str]) -> str:
    """Return LaTeX tables of the package booktabs for each data set, preceded by the notes as comments."""
    blocks = [f"% {printable(line)}" for line in lines]
    for title, columns in _sections(tables):
        blocks += [f"% {printable(title)}"] if title else []
        blocks += [f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}", "\\toprule", _latex_row([column.heading for column in columns])]
        blocks += ["\\midrule", *map(_latex_row, _flat_rows(columns)), "\\bottomrule", "\\end{tabular}"]
    return "\n".join(blocks) + "\n"


def _sections(tables: Sequence[DataTable]) -> list[Section]:
    return [section for table in tables for section in sections(table)]


def _flat_rows(columns: Sequence[Column]) -> list[list[str]]:
    return [[" ".join(lines) for lines in cells] for cells in zip(*(column.cells for column in columns), strict=True)]


# Characters with a meaning in Markdown or HTML.
MARKDOWN = {ord(character): f"\\{character}" for character in "\\`*_[]<>|#~&$"}
LATEX = {ord(character): f"\\{character}" for character in "{}$&#%_"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
    ord("±"): r"$\pm$",
    ord(PICK): r"$\triangleright$",
}


def _markdown(text: str) -> str:
    return printable(text).translate(MARKDOWN)


def _latex_row(cells: Sequence[str]) -> str:
    name, *others = [re.sub("-(?=-)", "-{}", printable(cell).translate(LATEX)) for cell in cells]
    row = " & ".join([name, *(re.sub(r"(?<![^ \[])-(?=\d)", "$-$", other) for other in others)])
    # These would be options of the end of the row before.
    return ("{}" if row.startswith(("[", "*")) else "") + row + r" \\"


def _numbers(tables: Sequence[DataTable]) -> list[dict[str, Any]]:
    """Return a mapping for each row, with numbers in full precision and None for what is unknown, for CSV and JSON."""
    places = sorted({_mean_on(table, place) for table in tables for place in table.places})
    return [
        {
            "data": " ".join(table.data),
            "method": row.comparison.method,
            "settings": " ".join(row.comparison.shown),
            "n": row.num,
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
            "state": "finished",
        }
        | dict.fromkeys(places)
        | {_mean_on(table, place): summary.mean for place, summary in row.each.items()}
        for table in tables
        for row in table.rows
    ]


def _mean_on(table: DataTable, place: str) -> str:
    """Return the name of the mean on one of several targets or sources, such as `mean_target/NAME/test_accuracy`."""
    domain, _, name = table.measure.partition("/")
    return f"mean_{domain}/{place}/{name}"


def _csv(tables: Sequence[DataTable], unfinished: Sequence[Unfinished]) -> str:
    """Return the rows, followed by one for each run without results, of which all numbers but `n`, 0, are empty."""
    rows = _numbers(tables)
    none = dict.fromkeys(rows[0]) | {"n": 0, "is_oracle": False, "is_pick": False}
    rows += [none | {"best_run": str(folder), "state": state} for folder, state in unfinished]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(csv_cell, rows[0]))
    writer.writerows([csv_cell(value) if isinstance(value, str) else value for value in row.values()] for row in rows)
    return text.getvalue()


def _json(tables: Sequence[DataTable], picks: Sequence[Pick], lines: Sequence[str], unfinished: Sequence[Unfinished]) -> str:
    methods = [
        {"name": row.comparison.name, **numbers, "runs": [{"folder": str(run.folder), **run.metrics} for run in row.comparison.runs]}
        for numbers, row in zip(_numbers(tables), (row for table in tables for row in table.rows), strict=True)
    ]
    chosen = [
        pick._asdict()
        | {"data": sorted(pick.data), "run": str(pick.run), "run_scores": {str(run): score for run, score in pick.run_scores.items()}}
        for pick in picks
    ]
    without = [{"folder": str(folder), "state": state} for folder, state in unfinished]
    return json.dumps({"methods": methods, "picks": chosen, "unfinished": without, "notes": lines}, indent=2, allow_nan=False) + "\n"
