"""Comparison of fine-tuning methods on few labelled photographs: methods, numbers of labels and seeds, in one table.

The folder contains train/ and val/ with a folder of photographs for each class. A pretrained EfficientNet-Lite0 trains on 5,
20 and all images per class of train/, every method with the same seeds, images, batches and number of steps. Five images per
class are too few for validation, so nothing is selected: the model is that of the last step, no setting was tuned here, and
the images of val/ are test images. The seed also determines the labelled images, so they differ between seeds. Finished runs
are skipped, and stopped ones are continued.

    make benchmark-transfer
    python benchmarks/transfer.py --methods fine_tune,lora --seeds 1
    python benchmarks/transfer.py data.source=DIR
"""

import argparse
import shutil
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from grid import PHOTOGRAPHS, QUIET, Grid, Task, compose_tasks, missing_data, run_tasks, source_accuracy
from hydra.errors import HydraException
from program import Results, grid_options, is_below, mean_text, publish, start
from rich.console import Console

from acclimate.config.groups import group_options
from acclimate.errors import UserError
from acclimate.runs.record import read_metrics

BASELINE = "fine_tune"
METHODS = (
    *("linear_probe", BASELINE, "gradual_unfreeze", "layerwise_decay", "l2_sp"),
    *("delta", "bss", "co_tuning", "stoch_norm", "lora"),
)
# Labelled images per class and number of steps: each of 10, 40 or 245 images is seen 80, 40 or 10 times. They have the model's
# 224 pixels. On the training images, with 40 % of them held out in three splits, a linear probe reached 0.949 after 100 steps
# and 0.952 after 300, but 0.939 after 100 with 192 pixels.
LABELS = {"5_per_class": (5, 50), "20_per_class": (20, 100), "all": (None, 150)}
COMMON = (
    *QUIET,
    "trainer=cpu",
    *PHOTOGRAPHS,
    "data.batch_size=16",
    "model=efficientnet_lite0",
    "selection=last",
    "trainer.check_val_every_n_epoch=null",
)


def overrides_of(num_labels: int | None, steps: int) -> tuple[str, ...]:
    """Return the overrides of a run with a number of labelled images per class, which is validated at its end."""
    labels = f"data.source_labels_per_class={'null' if num_labels is None else num_labels}"
    return labels, f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}"


GRID = Grid({name: overrides_of(*of_setting) for name, of_setting in LABELS.items()}, [*METHODS], COMMON)


class Row(NamedTuple):
    """A method: test accuracies by number of labels, in the order of the seeds, and the seconds of training."""

    method: str
    accuracies: dict[str, list[float]]
    seconds: float


def collect(tasks: Sequence[Task]) -> list[Row]:
    """Collect the finished runs, in the order of the methods."""
    rows = []
    for method in dict.fromkeys(task.method for task in tasks):
        accuracies: dict[str, list[float]] = {}
        seconds = []
        for task in tasks:
            if task.method == method and task.is_finished and not task.is_outdated:
                metrics = read_metrics(task.folder)
                accuracies.setdefault(task.setting, []).append(source_accuracy(metrics))
                seconds.append(metrics["train/seconds"])
        if seconds:
            rows.append(Row(method, accuracies, statistics.fmean(seconds)))
    return rows


CAPTION = (
    "Accuracy on test images that were not used for any choice, mean ± standard deviation over seeds, each with other labelled images. "
    f"▼: below {BASELINE} by more than one pooled standard deviation, the root of the mean of both variances."
)


def cells(row: Row, rows: Sequence[Row], settings: Sequence[str]) -> list[str]:
    """Return the cells of a method's row."""
    baseline = next((other.accuracies for other in rows if other.method == BASELINE), {})
    texts = []
    for setting in settings:
        values = row.accuracies.get(setting)
        mark = " ▼" if values and setting in baseline and is_below(values, baseline[setting]) else ""
        texts.append(mean_text(values) + mark if values else "–")
    seeds = max(len(values) for values in row.accuracies.values())
    return [row.method, *texts, str(seeds), f"{row.seconds:.0f}"]


def run_benchmark(arguments: argparse.Namespace, console: Console) -> int:
    """Train and report; return the exit code."""
    unknown = {*(arguments.methods or [])}.difference(group_options("method"))
    if unknown:
        console.print(f"There is no {', '.join(sorted(unknown))}. Methods: {', '.join(METHODS)}.")
        return 2
    grid = GRID._replace(methods=arguments.methods or GRID.methods)
    try:
        tasks = compose_tasks(grid, arguments.folder / "transfer", range(arguments.seeds), arguments.overrides)
    except (HydraException, UserError) as error:
        console.print(str(error), markup=False)
        return 2
    errors: dict[str, str] = {}
    if not arguments.report:
        if message := missing_data(tasks):
            console.print(message, soft_wrap=True)
            return 2
        for seed in range(arguments.seeds):
            of_seed = [task for task in tasks if task.seed == seed]
            errors |= run_tasks(of_seed, arguments.jobs, console)
            for task in of_seed:
                # They are not needed any more and would take gigabytes.
                if task.is_finished:
                    shutil.rmtree(task.folder / "checkpoints", ignore_errors=True)
    rows = collect(tasks)
    headings = ("method", *grid.settings, "seeds", "seconds")
    results = Results("labelled images", headings, [cells(row, rows, list(grid.settings)) for row in rows], CAPTION)
    publish(results, rows, errors, arguments.folder / "transfer.md", console)
    return 1 if errors else 0


def main() -> None:
    start(run_benchmark, grid_options(__doc__))


if __name__ == "__main__":
    main()
