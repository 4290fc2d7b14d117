"""Common parts of the benchmark programs: options, exit codes and tables."""

import argparse
import math
import os
import signal
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from acclimate.errors import Interrupted
from acclimate.files.atomic_files import write_json

FOLDER = Path("outputs/benchmarks")


class Results(NamedTuple):
    """A table of texts; the first column names the rows."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str

    def show(self, console: Console) -> None:
        table = Table(title=self.title, caption=self.caption, caption_justify="left")
        for number, heading in enumerate(self.headings):
            table.add_column(heading, no_wrap=True, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        lines = [self.headings, ["---", *["---:"] * (len(self.headings) - 1)], *self.rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return f"### {self.title}\n\n{table}\n\n{self.caption}\n"


def publish(results: Results, rows: Sequence[Any], errors: Mapping[str, str], file: Path, console: Console) -> None:
    """Print a table and the errors of runs, and write both as Markdown and JSON.

    Args:
        results: The table.
        rows: NamedTuples with the values of the table.
        errors: Error messages by the names of runs.
        file: The Markdown file, with the suffix `.md`; the JSON file has the same name.
        console: The console to print to.
    """
    failures = [f"failed: {name}: {error}" for name, error in errors.items()]
    results.show(console)
    for failure in failures:
        console.print(failure, markup=False, soft_wrap=True)
    write_json(file.with_suffix(".json"), {"rows": [row._asdict() for row in rows], "failures": failures})
    file.write_text("\n".join([results.markdown(), *failures]))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; the deviation is NaN for fewer than two values or values that are not finite.

    >>> mean_and_deviation([1.0, 3.0])
    (2.0, 1.4142135623730951)
    """
    deviates = len(values) > 1 and all(map(math.isfinite, values))
    return statistics.fmean(values), statistics.stdev(values) if deviates else math.nan


def mean_text(values: Sequence[float], *, sign: str = "") -> str:
    """Format mean ± standard deviation over seeds, or the mean of a single seed; `sign` is that of format specifications."""
    mean, deviation = mean_and_deviation(values)
    return f"{mean:{sign}.4f}" + (f" ± {deviation:.4f}" if len(values) > 1 else "")


def is_below(values: Sequence[float], reference: Sequence[float]) -> bool:
    """Return True if the mean is lower by more than one pooled standard deviation; False for single values."""
    (mean, deviation), (other, spread) = mean_and_deviation(values), mean_and_deviation(reference)
    return mean < other - math.sqrt((deviation**2 + spread**2) / 2)


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    return parser


def grid_options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of benchmarks over methods and seeds."""
    parser = options(description)
    parser.add_argument("--methods", type=lambda text: text.split(","), help="other methods, with commas between")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time, each with one thread")
    parser.add_argument("--report", action="store_true", help="the table of what there is, without training")
    return parser


def start(run_benchmark: Callable[[argparse.Namespace, Console], int], parser: argparse.ArgumentParser) -> None:
    """Run a benchmark with the options of the command line and exit with its code, or with 130 if it was stopped."""
    # After the positional arguments of the benchmark itself.
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for every run, such as trainer=gpu")
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    # Not through SIGINT, which background processes of a shell ignore.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    torch.set_num_threads(1)
    try:
        sys.exit(run_benchmark(parser.parse_intermixed_args(), console))
    except (KeyboardInterrupt, Interrupted):
        console.print("Stopped. The same command continues from here.")
        sys.exit(130)
