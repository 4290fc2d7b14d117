"""Comparison of all methods: a grid of data settings, methods and seeds, and one table for each setting.

Every run trains and selects its checkpoint as in `acclimate train`, without target labels. After it has finished, the
checkpoints of all its validations are evaluated with labels, to measure the cost of the selection. Finished runs are
skipped, and stopped ones are continued.

    make benchmark-methods
    make benchmark-mnist-m ARGS="--jobs 1 trainer=gpu"
    python benchmarks/methods.py methods --methods source_only,dann --seeds 1 trainer.max_steps=200
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from grid import COMMON, QUIET, Grid, Task, compose_tasks, missing_data, run_tasks
from hydra.errors import HydraException
from program import Results, grid_options, is_below, mean_text, start
from rich.console import Console

from acclimate.config.groups import group_options
from acclimate.errors import UserError
from acclimate.files.atomic_files import write_json
from acclimate.runs.record import read_metrics
from acclimate.scores.ordering import nan_lowest

# Methods for pretrained models, that start from another run, or that train no classifier.
WITHOUT = (
    *("linear_probe", "fine_tune", "layerwise_decay", "gradual_unfreeze", "l2_sp", "delta", "bss", "stoch_norm", "lora", "co_tuning"),
    *("shot", "ada_bn", "tent"),
    *("simclr", "rotation", "barlow_twins"),
)
BASELINE = "source_only"
BEST_RECIPE = "dann_mcc_fixmatch"
NUM_TOP = 3

BENCHMARKS = {
    "methods": Grid(
        {
            "fonts_to_handwriting": ("data=fonts_to_handwriting",),
            "partial_overlap": ("data=fonts_to_handwriting", "data.target_classes=[0,1,2,3,4]"),
        },
        [method for method in group_options("method") if method not in WITHOUT],
        COMMON,
    ),
    "mnist_m": Grid(
        {"mnist_to_mnist_m": ("experiment=mnist_to_mnist_m",)},
        [BASELINE, "dann", "cdan_e", BEST_RECIPE],
        QUIET,
    ),
    # Methods with alignment, with losses on target predictions, with both and with neither, for benchmarks/selection.py.
    "selection": Grid(
        {
            "fonts_to_handwriting": ("data=fonts_to_handwriting",),
            "low_rate": ("data=fonts_to_handwriting", "optimizer.lr=0.0003"),
            "high_rate": ("data=fonts_to_handwriting", "optimizer.lr=0.003"),
        },
        [BASELINE, "dann", "cdan_e", "dan", "deep_coral", "mcc", "information_maximisation", BEST_RECIPE],
        COMMON,
    ),
}


class Row(NamedTuple):
    """A method in a setting: target test accuracies by seed."""

    method: str
    seeds: list[int]
    selected: list[float]
    last: list[float]
    oracle: list[float]
    seconds: list[float]


def collect(tasks: Sequence[Task]) -> list[Row]:
    """Collect the finished runs of one setting, best method first."""
    rows = []
    for method in dict.fromkeys(task.method for task in tasks):
        finished = [task for task in tasks if task.method == method and task.is_finished and not task.is_outdated]
        if not finished:
            continue
        metrics = [read_metrics(task.folder) for task in finished]
        histories = [json.loads((task.folder / "checkpoints.json").read_text()) for task in finished]
        # Ties go to the first one, because histories are in the order of training.
        oracles = [max(history, key=lambda checkpoint: nan_lowest(checkpoint["oracle/val_accuracy"])) for history in histories]
        rows.append(
            Row(
                method,
                [task.seed for task in finished],
                [run["target/test_accuracy"] for run in metrics],
                [history[-1]["target/test_accuracy"] for history in histories],
                [checkpoint["target/test_accuracy"] for checkpoint in oracles],
                [run["train/seconds"] for run in metrics],
            )
        )
    return sorted(rows, key=lambda row: nan_lowest(statistics.fmean(row.selected)), reverse=True)


def is_worse(row: Row, baseline: Row) -> bool:
    """Return True if a method is below the baseline by more than one pooled standard deviation; False for single seeds."""
    return is_below(row.selected, baseline.selected)


HEADINGS = ("method", "selected without labels", "last checkpoint", "oracle checkpoint", "seeds", "seconds")
CAPTION = (
    "Accuracy on the target's test images, mean ± standard deviation over seeds. The oracle takes the checkpoint with the "
    "best accuracy on the target's labelled validation images. ▼: below source_only by more than one pooled standard "
    "deviation, the root of the mean of both variances."
)


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """Return the cells of a method's row."""
    baseline = next((other for other in rows if other.method == BASELINE), None)
    mark = " ▼" if baseline is not None and is_worse(row, baseline) else ""
    accuracies = map(mean_text, (row.selected, row.last, row.oracle))
    return [f"{row.method}{mark}", *accuracies, str(len(row.seeds)), f"{statistics.fmean(row.seconds):.0f}"]


def report(tasks: Sequence[Task], errors: dict[str, str], file: Path, console: Console) -> None:
    """Print the tables and write them as Markdown and JSON."""
    markdown, contents = [], {}
    for setting in dict.fromkeys(task.setting for task in tasks):
        rows = collect([task for task in tasks if task.setting == setting])
        failures = [f"failed: {name}: {error}" for name, error in errors.items() if name.startswith(f"{setting} ")]
        results = Results(setting, HEADINGS, [cells(row, rows) for row in rows], CAPTION)
        results.show(console)
        for failure in failures:
            console.print(failure, markup=False, soft_wrap=True)
        markdown += [results.markdown(), *(f"{failure}\n" for failure in failures)]
        contents[setting] = {"rows": [row._asdict() for row in rows], "failures": failures}
    write_json(file.with_suffix(".json"), contents)
    file.write_text("\n".join(markdown))


def best_methods(tasks: Sequence[Task]) -> set[tuple[str, str]]:
    """Return the best methods of each setting, which get more seeds; nothing is tuned by this choice."""
    settings = dict.fromkeys(task.setting for task in tasks)
    return {(setting, row.method) for setting in settings for row in collect([task for task in tasks if task.setting == setting])[:NUM_TOP]}


def run_benchmark(arguments: argparse.Namespace, console: Console) -> int:
    """Train and report; return the exit code."""
    benchmark = BENCHMARKS[arguments.benchmark]
    settings = arguments.settings or list(benchmark.settings)
    unknown = {*settings}.difference(benchmark.settings) | {*(arguments.methods or [])}.difference(group_options("method"))
    if unknown:
        console.print(f"There is no {', '.join(sorted(unknown))}. Settings: {', '.join(benchmark.settings)}.")
        return 2
    benchmark = benchmark._replace(
        settings={name: benchmark.settings[name] for name in settings}, methods=arguments.methods or benchmark.methods
    )
    num_seeds = max(arguments.seeds, arguments.top_seeds)
    try:
        tasks = compose_tasks(benchmark, arguments.folder / "runs", range(num_seeds), arguments.overrides)
    except (HydraException, UserError) as error:
        console.print(str(error), markup=False)
        return 2
    errors: dict[str, str] = {}
    if arguments.report:
        for task in tasks:
            if task.is_outdated:
                console.print(f"{task.name} is left out: it was trained with another configuration.")
    else:
        if message := missing_data(tasks):
            console.print(message, soft_wrap=True)
            return 2
        errors |= run_tasks([task for task in tasks if task.seed < arguments.seeds], arguments.jobs, console)
        best = best_methods([task for task in tasks if task.seed < arguments.seeds])
        more = [task for task in tasks if task.seed >= arguments.seeds and (task.setting, task.method) in best]
        if more:
            errors |= run_tasks(more, arguments.jobs, console)
    report(tasks, errors, arguments.folder / f"{arguments.benchmark}.md", console)
    return 1 if errors else 0


def main() -> None:
    parser = grid_options(__doc__)
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("--settings", type=lambda text: text.split(","), help="some of the data settings, with commas between")
    parser.add_argument("--top-seeds", type=int, default=0, help=f"seeds of the best {NUM_TOP} methods of each setting")
    start(run_benchmark, parser)


if __name__ == "__main__":
    main()
