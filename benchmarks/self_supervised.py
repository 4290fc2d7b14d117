"""Benefit of self-supervised training before adaptation: `dann` alone against `dann` after self-supervised training.

In the source, 10 images of each class are labelled. `dann` trains on these and on the unlabelled target, both with the same
kind of views; self-supervised methods train before on all images of both domains, without labels. Checkpoints of `dann` are
selected without target labels. Seeds are paired: all runs of a seed have the same labelled images, order, views and head. One
more row trains `dann` alone for as many steps as the self-supervised training and the following `dann` together. Finished
runs are skipped, and stopped ones are continued.

    python benchmarks/self_supervised.py
    python benchmarks/self_supervised.py --seeds 1 --methods simclr trainer.precision=32-true
"""

import argparse
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from grid import COMMON, STEPS, Grid, Task, compose_tasks, run_tasks
from hydra.errors import HydraException
from program import Results, grid_options, mean_text, publish, start
from rich.console import Console

from acclimate.errors import UserError
from acclimate.runs.record import read_metrics

METHODS = ["simclr", "rotation", "barlow_twins"]
ADAPTATION = "dann"
# As for pretrained weights. The rate, the steps and the views were chosen on rendered digits and 1,257 digits of MNIST, cropped and
# reduced to 8 × 8 pixels like the handwritten ones of scikit-learn: .853 and .850 for two seeds; .863 and .838 at the full rate.
RATE = "method.backbone_rate=0.1"
# Without random views, `dann` memorises its 100 labelled images, and the earlier training is lost: .655 alone and .671 after
# `simclr` on the same data, in one seed, while a shift gives .702 and .853.
VIEWS = ("plain", "shift", "strong")
ALONE = "alone"
# Adaptation alone, for as many steps as self-supervised training and adaptation together.
LONGER = "alone_longer"
DATA = ("data=fonts_to_handwriting", "data.source_labels_per_class=10")
HEADINGS = ("views", "before", "accuracy", "difference to alone", "better in", "seeds", "seconds")
CAPTION = (
    f"Accuracy of {ADAPTATION} on the target's test images, of checkpoints that were selected without target labels, and its "
    "paired differences: mean ± standard deviation over seeds."
)


class Row(NamedTuple):
    """Adaptation after a method: target test accuracies by seed, and their gain over adaptation alone with the same views."""

    views: str
    before: str
    seeds: list[int]
    accuracies: list[float]
    differences: list[float]
    seconds: float


def collect(tasks: Sequence[Task]) -> list[Row]:
    """Collect the finished runs, without seeds for which adaptation alone is missing."""
    accuracies = {(task.setting, task.seed): read_metrics(task.folder) for task in tasks if task.is_finished and not task.is_outdated}
    rows = []
    for setting in dict.fromkeys(task.setting for task in tasks):
        views, before = setting.split("/")
        both = (setting, setting_name(views, ALONE))
        seeds = [task.seed for task in tasks if task.setting == setting and all((one, task.seed) in accuracies for one in both)]
        if not seeds:
            continue
        found, alone = ([accuracies[one, seed]["target/test_accuracy"] for seed in seeds] for one in both)
        seconds = statistics.fmean(accuracies[setting, seed]["train/seconds"] for seed in seeds)
        rows.append(Row(views, before, seeds, found, [one - other for one, other in zip(found, alone, strict=True)], seconds))
    return rows


def setting_name(views: str, before: str) -> str:
    """Return the name of a setting, which is also the folder of its runs."""
    return f"{views}/{before}"


def cells(row: Row) -> list[str]:
    """Return the cells of a row."""
    better = f"{sum(difference > 0 for difference in row.differences)} of {len(row.seeds)}"
    gain = ("–", "–") if row.before == ALONE else (mean_text(row.differences, sign="+"), better)
    return [row.views, row.before, mean_text(row.accuracies), *gain, str(len(row.seeds)), f"{row.seconds:.0f}"]


def run_benchmark(arguments: argparse.Namespace, console: Console) -> int:
    """Train and report; return the exit code."""
    folder = (arguments.folder / "self_supervised").resolve()
    first = Grid({"before": DATA}, arguments.methods, (*COMMON, f"trainer.max_steps={arguments.steps}"))
    settings: dict[str, tuple[str, ...]] = {}
    for views in VIEWS:
        alone = (*DATA, f"data.source_view={views}", f"data.target_views=[{views}]")
        settings[setting_name(views, ALONE)] = alone
        settings[setting_name(views, LONGER)] = (*alone, f"trainer.max_steps={STEPS + arguments.steps}")
        for method in arguments.methods:
            origin = f"init_from='{folder / 'before' / method / 'seed-'}${{seed}}'"
            settings[setting_name(views, method)] = (*alone, RATE, origin)
    second = Grid(settings, [ADAPTATION], COMMON)
    try:
        before, after = (compose_tasks(grid, folder, range(arguments.seeds), arguments.overrides) for grid in (first, second))
    except (HydraException, UserError) as error:
        console.print(str(error), markup=False)
        return 2
    errors: dict[str, str] = {}
    if not arguments.report:
        # Seed by seed, so that a stopped benchmark has complete pairs.
        for seed in range(arguments.seeds):
            for tasks in (before, after):
                errors |= run_tasks([task for task in tasks if task.seed == seed], arguments.jobs, console)
    rows = collect(after)
    results = Results("self-supervised, then adapted", HEADINGS, [cells(row) for row in rows], CAPTION)
    publish(results, rows, errors, folder.with_suffix(".md"), console)
    return 1 if errors else 0


def main() -> None:
    parser = grid_options(__doc__)
    parser.set_defaults(methods=METHODS, seeds=5)
    parser.add_argument("--steps", type=int, default=2000, help="of self-supervised training")
    start(run_benchmark, parser)


if __name__ == "__main__":
    main()
