"""How well each method adapts: a grid of data settings, methods and seeds, and one table for each setting.

Every run trains and selects its checkpoint as `acclimate train` does, without target labels. Only when it is over are
all checkpoints of its validations judged with labels, to tell what the selection costs. Runs that are finished are
skipped, and those that were stopped are continued.

    make benchmark-methods
    make benchmark-mnist-m ARGS="--jobs 1 trainer=gpu"
    python benchmarks/methods.py methods --methods source_only,dann --seeds 1 trainer.max_steps=200
"""

import argparse
import functools
import json
import math
import multiprocessing
import os
import shutil
import signal
import statistics
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

from acclimate.comparison import mean_and_deviation
from acclimate.composition import config_groups, resolve
from acclimate.config import conf_dir, group_options
from acclimate.data.image_set import ImageSet, Parts
from acclimate.data.loader import EvaluationBatches
from acclimate.data.views import View
from acclimate.errors import Interrupted, UserError
from acclimate.run import read_checkpoint, read_metrics, rebuild_classifier, train, write_json
from acclimate.types import Labelled

QUIET = (
    "logger=none",
    "callbacks.pictures=null",
    "callbacks.progress_bar=null",
    "callbacks.learning_rate=null",
    "trainer.enable_progress_bar=false",
)
COMMON = (
    *QUIET,
    "trainer=cpu",
    # On two cores that have instructions for it a step takes 0.6 of the time; elsewhere give trainer.precision=32-true.
    "trainer.precision=bf16-mixed",
    "trainer.max_steps=600",
    "trainer.check_val_every_n_epoch=null",
    "trainer.val_check_interval=100",
)
# These two are for pretrained models.
WITHOUT = ("linear_probe", "fine_tune")
BASELINE = "source_only"
BEST_RECIPE = "dann_mcc_fixmatch"
NUM_TOP = 3


class Benchmark(NamedTuple):
    """A grid: the overrides of each data setting and of all runs, and the methods."""

    settings: dict[str, tuple[str, ...]]
    methods: list[str]
    common: tuple[str, ...]


BENCHMARKS = {
    "methods": Benchmark(
        {
            "fonts_to_handwriting": ("data=fonts_to_handwriting",),
            "partial_overlap": ("data=fonts_to_handwriting", "data.target_classes=[0,1,2,3,4]"),
        },
        [method for method in group_options("method") if method not in WITHOUT],
        COMMON,
    ),
    "mnist_m": Benchmark(
        {"mnist_to_mnist_m": ("experiment=mnist_to_mnist_m",)},
        [BASELINE, "dann", "cdan_e", BEST_RECIPE],
        QUIET,
    ),
}


class Task(NamedTuple):
    """One run of the grid and where it lies."""

    setting: str
    method: str
    seed: int
    config: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.setting} {self.method} seed {self.seed}"

    @property
    def folder(self) -> Path:
        return Path(self.config["folder"])

    @property
    def is_finished(self) -> bool:
        return (self.folder / "metrics.json").exists() and (self.folder / "checkpoints.json").exists()

    @property
    def stored_config(self) -> dict[str, Any]:
        """What makes a stored run this one."""
        return {key: value for key, value in self.config.items() if key not in ("folder", "resume")}

    @property
    def is_outdated(self) -> bool:
        """Whether another configuration lies in the folder."""
        file = self.folder / "config.json"
        return file.exists() and json.loads(file.read_text()) != self.stored_config


def compose_tasks(benchmark: Benchmark, folder: Path, seeds: Sequence[int], extra: Sequence[str]) -> list[Task]:
    """The grid, all methods of the first seed first, so that a benchmark that is stopped has something of each."""
    tasks = []
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for seed in seeds:
            for setting, overrides in benchmark.settings.items():
                for method in benchmark.methods:
                    place = folder / setting / method / f"seed-{seed}"
                    words = [*benchmark.common, *overrides, *extra, f"method={method}", f"seed={seed}", f"folder={place}"]
                    config = resolve(hydra.compose("train", [_take_any_key(word) for word in words]))
                    # In front of the run's own checkpoint callback: what last.ckpt continues after was kept already.
                    config["callbacks"] = {"every_validation": keep_checkpoints(place), **config["callbacks"]}
                    tasks.append(Task(setting, method, seed, config | {"resume": True}))
    return tasks


def _take_any_key(word: str) -> str:
    key = word.partition("=")[0]
    return word if word[0] in "+~" or key in config_groups() else f"++{word}"


def every_validation(folder: Path) -> Path:
    """Where the checkpoints of all validations lie until they are judged."""
    return folder / "checkpoints" / "every_validation"


def keep_checkpoints(folder: Path) -> dict[str, Any]:
    """A callback that saves a checkpoint after each validation, whether these come with epochs or with steps."""
    return {
        "_target_": "pytorch_lightning.callbacks.ModelCheckpoint",
        "dirpath": str(every_validation(folder)),
        "filename": "{step}",
        "auto_insert_metric_name": False,
        "monitor": None,
        "save_top_k": -1,
        "save_on_train_epoch_end": False,
        "enable_version_counter": False,
    }


def attempt(task: Task) -> str | None:
    """Trains and judges a run, or goes on with it; returns what went wrong."""
    try:
        write_json(task.folder / "config.json", task.stored_config)
        train(task.config)
        write_json(task.folder / "checkpoints.json", judge_checkpoints(task))
        shutil.rmtree(every_validation(task.folder))
        (task.folder / "error.txt").unlink(missing_ok=True)
    except Exception as error:
        (task.folder / "error.txt").write_text(traceback.format_exc())
        return f"{type(error).__name__}: {error}"
    return None


def judge_checkpoints(task: Task) -> list[dict[str, float]]:
    """Accuracies on the labelled target of every kept checkpoint, in the order of training."""
    data = {key: value for key, value in task.config["data"].items() if key != "seed"}
    target = read_target(json.dumps(data))
    judged = []
    for path in every_validation(task.folder).glob("*.ckpt"):
        checkpoint = read_checkpoint(path)
        judged.append(
            {
                "step": checkpoint["global_step"],
                "oracle/val_accuracy": accuracy(checkpoint, target.val),
                "target/test_accuracy": accuracy(checkpoint, target.test),
            }
        )
    return sorted(judged, key=lambda checkpoint: checkpoint["step"])


@functools.cache
def read_target(data: str) -> Parts:
    """The target of a data configuration, read once for all runs of a process."""
    return instantiate(json.loads(data), _convert_="all").domains.target


@torch.inference_mode()
def accuracy(checkpoint: dict[str, Any], images: ImageSet) -> float:
    """Share of the images that a checkpoint labels correctly, on the device and in the precision of its training."""
    data, trainer = checkpoint["config"]["data"], checkpoint["config"]["trainer"]
    device = "cuda" if torch.cuda.is_available() and trainer["accelerator"] != "cpu" else "cpu"
    classifier = rebuild_classifier(checkpoint).to(device)
    view = View("plain", image_size=checkpoint["image_size"], crop=data["crop"])
    batches = EvaluationBatches(images, view, batch_size=data["eval_batch_size"], labelled=True)
    num_correct = 0
    with torch.autocast(device, torch.bfloat16, enabled=trainer["precision"] == "bf16-mixed"):
        for number in range(len(batches)):
            batch = batches[number]
            assert isinstance(batch, Labelled)
            logits = classifier(batch.images.to(device)).logits
            num_correct += int((logits.argmax(dim=1).cpu() == batch.labels).sum())
    return num_correct / len(images)


def work_through(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, str | None]]:
    """Each task with what went wrong in it, as they end."""
    if jobs == 1:
        yield from ((task, attempt(task)) for task in tasks)
        return
    waiting = iter(tasks)
    running: dict[Any, Task] = {}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), start_worker) as pool:
        try:
            while True:
                # No more than run at once: what the pool has taken in cannot be called back.
                while len(running) < jobs and (task := next(waiting, None)) is not None:
                    running[pool.submit(attempt, task)] = task
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except KeyboardInterrupt:
            # Training saves and stops at the first signal, and whatever else a worker does can be done again.
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def start_worker() -> None:
    """One thread for each process: with two cores, two such runs are faster than one run with two threads after another."""
    torch.set_num_threads(1)
    # Ctrl-C in a terminal reaches the whole group; here only the first process hears it, and tells the others once.
    os.setpgrp()

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_parent, daemon=True).start()


def run_tasks(tasks: Sequence[Task], jobs: int, console: Console) -> dict[str, str]:
    """Trains what is not finished; returns what went wrong, by the tasks' names."""
    for task in tasks:
        if task.is_outdated:
            console.print(f"{task.name}: the stored run has another configuration; it is trained anew.")
            shutil.rmtree(task.folder)
    unfinished = [task for task in tasks if not task.is_finished]
    console.print(f"{len(tasks) - len(unfinished)} of {len(tasks)} runs are finished.")
    errors = {}
    for number, (task, error) in enumerate(work_through(unfinished, min(jobs, max(len(unfinished), 1))), start=1):
        if error is not None:
            errors[task.name] = error
        outcome = error or f"{read_metrics(task.folder)['target/test_accuracy']:.4f}"
        console.print(f"{number}/{len(unfinished)} {task.name}: {outcome}", markup=False, soft_wrap=True)
    return errors


class Row(NamedTuple):
    """A method in a setting: target test accuracies by seed."""

    method: str
    seeds: list[int]
    selected: list[float]
    last: list[float]
    oracle: list[float]
    seconds: list[float]


def collect(tasks: Sequence[Task]) -> list[Row]:
    """The finished runs of one setting, best method first."""
    rows = []
    for method in dict.fromkeys(task.method for task in tasks):
        finished = [task for task in tasks if task.method == method and task.is_finished and not task.is_outdated]
        if not finished:
            continue
        metrics = [read_metrics(task.folder) for task in finished]
        histories = [json.loads((task.folder / "checkpoints.json").read_text()) for task in finished]
        # The first of equals: histories are in the order of training.
        oracles = [max(history, key=lambda checkpoint: checkpoint["oracle/val_accuracy"]) for history in histories]
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
    return sorted(rows, key=lambda row: -statistics.fmean(row.selected))


def is_worse(row: Row, baseline: Row) -> bool:
    """Whether a method lies below the baseline by more than one pooled standard deviation; False for single seeds."""
    (mean, deviation), (reference, spread) = mean_and_deviation(row.selected), mean_and_deviation(baseline.selected)
    return mean < reference - math.sqrt((deviation**2 + spread**2) / 2)


HEADINGS = ("method", "selected without labels", "last checkpoint", "oracle checkpoint", "seeds", "seconds")
CAPTION = (
    "Accuracy on the target's test images, mean ± standard deviation over seeds. The oracle takes the checkpoint with the "
    "best accuracy on the target's labelled validation images. ▼: below source_only by more than one pooled standard "
    "deviation, the root of the mean of both variances."
)


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """What the table says of a method."""
    baseline = next((other for other in rows if other.method == BASELINE), None)
    mark = " ▼" if baseline is not None and is_worse(row, baseline) else ""
    accuracies = []
    for values in (row.selected, row.last, row.oracle):
        mean, deviation = mean_and_deviation(values)
        accuracies.append(f"{mean:.4f}" + (f" ± {deviation:.4f}" if len(values) > 1 else ""))
    return [f"{row.method}{mark}", *accuracies, str(len(row.seeds)), f"{statistics.fmean(row.seconds):.0f}"]


def report(tasks: Sequence[Task], errors: dict[str, str], folder: Path, console: Console) -> None:
    """Prints the tables and writes them as `results.md` and `results.json`."""
    markdown, contents = [], {}
    for setting in dict.fromkeys(task.setting for task in tasks):
        rows = collect([task for task in tasks if task.setting == setting])
        failures = [f"failed: {name}: {error}" for name, error in errors.items() if name.startswith(f"{setting} ")]
        table = Table(title=setting, caption=CAPTION, caption_justify="left")
        markdown += [f"### {setting}", "", f"| {' | '.join(HEADINGS)} |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
        for heading in HEADINGS:
            table.add_column(heading, no_wrap=True, justify="left" if heading == "method" else "right")
        for row in rows:
            table.add_row(*cells(row, rows))
            markdown.append(f"| {' | '.join(cells(row, rows))} |")
        console.print(table)
        for failure in failures:
            console.print(failure, markup=False, soft_wrap=True)
        markdown += ["", CAPTION, "", *(f"{failure}\n" for failure in failures)]
        contents[setting] = {"rows": [row._asdict() for row in rows], "failures": failures}
    write_json(folder / "results.json", contents)
    unfinished = folder / "results.md.unfinished"
    unfinished.write_text("\n".join(markdown))
    unfinished.replace(folder / "results.md")


def best_methods(tasks: Sequence[Task]) -> set[tuple[str, str]]:
    """Setting and method of the best in each setting; they get more seeds, and nothing is tuned by it."""
    settings = dict.fromkeys(task.setting for task in tasks)
    return {(setting, row.method) for setting in settings for row in collect([task for task in tasks if task.setting == setting])[:NUM_TOP]}


def run_benchmark(arguments: argparse.Namespace, console: Console) -> int:
    """Trains and reports; returns the exit code."""
    benchmark = BENCHMARKS[arguments.benchmark]
    settings = arguments.settings or list(benchmark.settings)
    unknown = {*settings}.difference(benchmark.settings) | {*(arguments.methods or [])}.difference(group_options("method"))
    if unknown:
        console.print(f"There is no {', '.join(sorted(unknown))}. Settings: {', '.join(benchmark.settings)}.")
        return 2
    benchmark = benchmark._replace(
        settings={name: benchmark.settings[name] for name in settings}, methods=arguments.methods or benchmark.methods
    )
    folder = arguments.folder / arguments.benchmark
    num_seeds = max(arguments.seeds, arguments.top_seeds)
    try:
        tasks = compose_tasks(benchmark, folder, range(num_seeds), arguments.overrides)
    except (HydraException, UserError) as error:
        console.print(str(error), markup=False)
        return 2
    errors: dict[str, str] = {}
    if arguments.report:
        for task in tasks:
            if task.is_outdated:
                console.print(f"{task.name} is left out: it was trained with another configuration.")
    else:
        archives = {str(task.config["data"].get(domain) or "") for task in tasks for domain in ("source", "target")} - {""}
        missing = sorted(path for path in archives if not Path(path).exists())
        if missing:
            console.print(f"There is no {' and no '.join(missing)}. Set ACCLIMATE_DATA to the folder that holds them.", soft_wrap=True)
            return 2
        errors |= run_tasks([task for task in tasks if task.seed < arguments.seeds], arguments.jobs, console)
        best = best_methods([task for task in tasks if task.seed < arguments.seeds])
        more = [task for task in tasks if task.seed >= arguments.seeds and (task.setting, task.method) in best]
        if more:
            errors |= run_tasks(more, arguments.jobs, console)
    report(tasks, errors, folder, console)
    return 1 if errors else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for every run, such as trainer=gpu")
    parser.add_argument("--settings", type=lambda text: text.split(","), help="some of the data settings, with commas between")
    parser.add_argument("--methods", type=lambda text: text.split(","), help="other methods, with commas between")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--top-seeds", type=int, default=0, help=f"seeds of the best {NUM_TOP} methods of each setting")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time, each with one thread")
    parser.add_argument("--report", action="store_true", help="the table of what there is, without training")
    parser.add_argument("--folder", type=Path, default=Path("outputs/benchmarks"))
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    torch.set_num_threads(1)
    try:
        sys.exit(run_benchmark(parser.parse_intermixed_args(), console))
    except (KeyboardInterrupt, Interrupted):
        console.print("Stopped. The same command goes on from here.")
        sys.exit(130)


if __name__ == "__main__":
    main()
