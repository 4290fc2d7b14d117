"""Grids of runs over data settings, methods and seeds, trained and selected as in `acclimate train`, without target labels.

After a run has finished, the checkpoints of all its validations are evaluated with labels, to measure the cost of the
selection. Their predictions for validation images are kept, so that every score can be computed later. Finished runs are
skipped, and stopped ones are continued.
"""

import functools
import json
import logging
import math
import multiprocessing
import os
import shutil
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from rich.console import Console
from torch import Tensor

import acclimate
from acclimate.config.identity import differing, identity
from acclimate.data.datamodule import AdaptationData
from acclimate.data.loaders import EvaluationBatches
from acclimate.data.samples import Samples
from acclimate.files.atomic_files import write_json
from acclimate.runs.checkpoints import kind_of, read_checkpoint, rebuild_classifier
from acclimate.runs.record import has_record, read_metrics, read_record
from acclimate.training.parts import usual_precision
from acclimate.types import Prediction, Unlabelled

QUIET = (
    "logger=none",
    "callbacks.pictures=null",
    "callbacks.progress_bar=null",
    "callbacks.learning_rate=null",
    "trainer.enable_progress_bar=false",
)
# Photographs of ants and bees, in train/ and val/.
PHOTOGRAPHS = (
    "data=image_folder",
    "data.source=${oc.env:ACCLIMATE_DATA,../shared/data}/hymenoptera",
    "data.target=null",
    "data.num_workers=0",
)
STEPS = 600
COMMON = (
    *QUIET,
    "trainer=cpu",
    # On two cores that have instructions for it a step takes 0.6 of the time; elsewhere give trainer.precision=32-true.
    "trainer.precision=bf16-mixed",
    f"trainer.max_steps={STEPS}",
    "trainer.check_val_every_n_epoch=null",
    "trainer.val_check_interval=100",
)


class Grid(NamedTuple):
    """The overrides of each data setting and of all runs, and the methods."""

    settings: dict[str, tuple[str, ...]]
    methods: list[str]
    common: tuple[str, ...]


class Task(NamedTuple):
    """A run of the grid and its folder."""

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
        return (self.folder / "metrics.json").exists() and not every_validation(self.folder).exists()

    @property
    def is_outdated(self) -> bool:
        """True if the folder contains a run with other settings."""
        if not has_record(self.folder):
            return False
        return bool(differing(identity(read_record(self.folder).config), identity(self.config)))


def compose_tasks(grid: Grid, folder: Path, seeds: Sequence[int], extra: Sequence[str]) -> list[Task]:
    """Compose the runs of the grid, seed by seed, so that a stopped benchmark has results for each method."""
    tasks = []
    for seed in seeds:
        for setting, overrides in grid.settings.items():
            for method in grid.methods:
                place = folder / setting / method / f"seed-{seed}"
                config = compose([*grid.common, *overrides, *extra, f"method={method}", f"name={method}", f"seed={seed}"], place)
                # Before the run's own checkpoint callback, so that checkpoints are kept before last.ckpt is saved.
                config["callbacks"] = {"every_validation": keep_checkpoints(place), **config["callbacks"]}
                tasks.append(Task(setting, method, seed, config))
    return tasks


def compose(overrides: Sequence[str], folder: Path) -> dict[str, Any]:
    """Compose the configuration of a run in a folder, which a second call of `train` continues or skips."""
    return {**acclimate.compose(overrides, folder=folder), "resume": True}


def missing_data(tasks: Sequence[Task]) -> str | None:
    """Return a message if archives or folders of the tasks are missing, else None."""
    places = {str(task.config["data"].get(domain) or "") for task in tasks for domain in ("source", "target")} - {""}
    missing = sorted(place for place in places if not Path(place).exists())
    return f"There is no {' and no '.join(missing)}. Set ACCLIMATE_DATA to the folder that holds them." if missing else None


def every_validation(folder: Path) -> Path:
    """Return the folder for the checkpoints of all validations until they are evaluated."""
    return folder / "checkpoints" / "every_validation"


def keep_checkpoints(folder: Path) -> dict[str, Any]:
    """Return a callback that saves a checkpoint after each validation, whether validations follow epochs or steps."""
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


def train_once(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of a single run: train or continue it, or read them if it is finished with the same configuration."""
    task = Task("", "", config["seed"], config)
    if task.is_outdated:
        shutil.rmtree(task.folder)
    return acclimate.train(config)


def attempt(task: Task) -> str | None:
    """Train or continue a run and evaluate its checkpoints; return an error message, or None."""
    try:
        if "target/test_accuracy" in acclimate.train(task.config):
            judge_checkpoints(task)
        shutil.rmtree(every_validation(task.folder))
        (task.folder / "error.txt").unlink(missing_ok=True)
    except Exception as error:
        # A wrong configuration is found before the folder exists.
        task.folder.mkdir(parents=True, exist_ok=True)
        (task.folder / "error.txt").write_text(traceback.format_exc())
        return f"{type(error).__name__}: {error}"
    return None


class Judged(NamedTuple):
    """Predictions of a kept checkpoint for validation images, and its accuracy on labelled target images."""

    step: int
    source: Prediction
    target: Prediction
    val_oracle_accuracy: float
    test_accuracy: float


def judge_checkpoints(task: Task) -> None:
    """Write `predictions.pt` and `checkpoints.json` with all kept checkpoints in the order of training."""
    data = read_data(json.dumps({key: value for key, value in task.config["data"].items() if key != "seed"}))
    domains, val_labels, test_labels = data.domains, data.target_labels.for_oracle(), data.target_labels.for_final_test()
    assert domains.source is not None and domains.target is not None and val_labels is not None and test_labels is not None
    judged = []
    for path in every_validation(task.folder).glob("*.ckpt"):
        checkpoint = read_checkpoint(path)
        source, target, test = (predict(checkpoint, images) for images in (domains.source.val, domains.target.val, domains.target.test))
        judged.append(Judged(checkpoint["global_step"], source, target, accuracy(target, val_labels), accuracy(test, test_labels)))
    judged.sort(key=lambda checkpoint: checkpoint.step)
    contents = {
        "source_labels": domains.source.val.labels,
        "steps": [checkpoint.step for checkpoint in judged],
        "source": [tuple(checkpoint.source) for checkpoint in judged],
        "target": [tuple(checkpoint.target) for checkpoint in judged],
    }
    torch.save(contents, task.folder / "predictions.pt")
    accuracies = [
        {"step": one.step, "oracle/val_accuracy": one.val_oracle_accuracy, "target/test_accuracy": one.test_accuracy} for one in judged
    ]
    write_json(task.folder / "checkpoints.json", accuracies)


@functools.cache
def read_data(config: str) -> AdaptationData:
    """Read the data of a configuration, once for all runs of a process."""
    data: AdaptationData = instantiate(json.loads(config), _convert_="all")
    return data


@torch.inference_mode()
def predict(checkpoint: dict[str, Any], images: Samples) -> Prediction:
    """Predict images with a checkpoint, on the device and in the precision of its training."""
    data, trainer = checkpoint["config"]["data"], checkpoint["config"]["trainer"]
    device = "cuda" if torch.cuda.is_available() and trainer["accelerator"] != "cpu" else "cpu"
    classifier = rebuild_classifier(checkpoint).to(device)
    batches = EvaluationBatches(images, kind_of(checkpoint).view("plain"), batch_size=data["eval_batch_size"], labelled=False)
    predictions = []
    precision = trainer["precision"] or usual_precision(trainer["accelerator"])
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
        for number in range(len(batches)):
            batch = batches[number]
            assert isinstance(batch, Unlabelled)
            predictions.append(classifier(batch.views[0].to(device)))
    return Prediction(*(torch.cat(part).cpu() for part in zip(*predictions, strict=True)))


def accuracy(prediction: Prediction, labels: Tensor) -> float:
    """Return the share of correct predictions."""
    return float((prediction.logits.argmax(dim=1) == labels).float().mean())


def work_through(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, str | None]]:
    """Yield each task with its error message or None, in the order in which they end."""
    if jobs == 1:
        yield from ((task, attempt(task)) for task in tasks)
        return
    waiting = iter(tasks)
    running: dict[Any, Task] = {}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), start_worker) as pool:
        try:
            while True:
                # Submit no more than run at once, because tasks in the pool cannot be withdrawn.
                while len(running) < jobs and (task := next(waiting, None)) is not None:
                    running[pool.submit(attempt, task)] = task
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except KeyboardInterrupt:
            # Training saves and stops at the first signal, and all other work can be repeated.
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def start_worker() -> None:
    """Use one thread per process: on two cores, two runs at once are faster than one after another with two threads."""
    torch.set_num_threads(1)
    # It would warn in each run that there is no test/.
    logging.getLogger("acclimate.data.images.image_folder").setLevel(logging.ERROR)
    # Ctrl-C in a terminal reaches the whole group; in its own group, a worker is stopped only once, by the first process.
    os.setpgrp()

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_parent, daemon=True).start()


def run_tasks(tasks: Sequence[Task], jobs: int, console: Console) -> dict[str, str]:
    """Train the unfinished tasks, and return error messages by the names of the tasks."""
    for task in tasks:
        if task.is_outdated:
            console.print(f"{task.name}: the stored run has another configuration; it is trained again.")
            shutil.rmtree(task.folder)
    unfinished = [task for task in tasks if not task.is_finished]
    console.print(f"{len(tasks) - len(unfinished)} of {len(tasks)} runs are finished.")
    errors = {}
    for number, (task, error) in enumerate(work_through(unfinished, min(jobs, max(len(unfinished), 1))), start=1):
        if error is not None:
            errors[task.name] = error
        metrics = {} if error else read_metrics(task.folder)
        reached = metrics.get("target/test_accuracy", source_accuracy(metrics))
        outcome = error or ("trained" if math.isnan(reached) else f"{reached:.4f}")
        console.print(f"{number}/{len(unfinished)} {task.name}: {outcome}", markup=False, soft_wrap=True)
    return errors


def source_accuracy(metrics: dict[str, Any]) -> float:
    """Return the accuracy on the source's test part, else on its validation part; NaN if the source has no labels."""
    return float(metrics.get("source/test_accuracy", metrics.get("source/val_accuracy", math.nan)))
