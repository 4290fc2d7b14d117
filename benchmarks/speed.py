"""Speed of training, as ratios to plain loops that alternate with it in one run on one machine.

Ratios above 1 mean that acclimate is faster. Each part is measured in rounds, of which the table shows the median, the lowest
and the highest ratio. Parts that are measured again replace their rows in the table.

    make benchmark
    python benchmarks/speed.py step pipeline --rounds 7
    python benchmarks/speed.py frozen --images DIR --model resnet50 --random-weights

DIR contains train/ and val/ with class folders of photographs; by default it is hymenoptera/ in ACCLIMATE_DATA, or generated
images, whose accuracies are meaningless.
"""

import argparse
import functools
import json
import logging
import multiprocessing
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import bare_loops
import torch
from bare_loops import Digits, KeptFeatures, Trained, make_up_photographs
from clock import Clock
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from program import Results, options
from rich.console import Console

import acclimate
from acclimate.data.cache import store
from acclimate.data.images.image_folder import ImageFolder
from acclimate.data.images.views import ViewName
from acclimate.files.atomic_files import write_json
from acclimate.inputs import ImageSpec
from acclimate.training.assembly import Run, build
from acclimate.training.parts import NO_LOGGER
from acclimate.types import Needs

# Batch sizes of the loops over digits and over photographs.
MANY, FEW = 64, 32

ACCLIMATE = str(Path(sys.executable).with_name("acclimate"))

Ratios = dict[str, list[float]]
Result = TypeVar("Result")


@functools.cache
def other_process() -> ProcessPoolExecutor:
    """Return the process for the plain loops, which is not affected by acclimate's settings of its own process."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), start_workers_as_scripts_do)


def start_workers_as_scripts_do() -> None:
    """Fork workers in the other process; it was spawned, so each epoch of a plain loop would wait seconds for spawned workers."""
    multiprocessing.set_start_method(None, force=True)


def plainly(loop: Callable[..., Result], *given: Any, **named: Any) -> Result:
    """Run a plain loop in the other process and return its result."""
    # As bytes: the pool would copy tensors in its own thread, whose additional team of OpenMP threads makes the threads of this process
    # sleep while waiting from then on, and acclimate a quarter slower.
    result: Result = other_process().submit(call, pickle.dumps((loop, given, named))).result()
    return result


def call(pickled: bytes) -> Any:
    """Run a pickled call in the other process."""
    loop, given, named = pickle.loads(pickled)
    return loop(*given, **named)


def prepared(folder: Path, *overrides: str) -> Run:
    """Build a run without callbacks for output."""
    words = [f"folder={folder}", "trainer=cpu", "+trainer.enable_progress_bar=false", *overrides]
    config = acclimate.compose(words)
    run = build(config | {"callbacks": {}, "logger": NO_LOGGER})
    run.trainer.limit_val_batches = 0
    return run


def rate(run: Run) -> float:
    """Return the images per second of a run's training, without the warm-up."""
    run.trainer.fit(run.method, run.data)
    return run.throughput.samples / run.throughput.seconds


def step(arguments: argparse.Namespace, folder: Path) -> Ratios:
    """Measure steps on digits in memory: the overhead of the framework, and the gains of layouts, optimizers and compilers."""
    steps, data = arguments.steps, (f"data.num_source={MANY * 50}", "data.num_source_eval=100", f"data.batch_size={MANY}")

    def ours(*overrides: str) -> Run:
        return prepared(folder, f"trainer.max_steps={steps}", *data, *overrides)

    domains = ours().data.domains
    digits = Digits(domains.source.train.images, domains.source.train.labels, domains.target.train.images)

    def theirs(loop: Callable[..., float], **options: bool) -> float:
        return plainly(loop, digits, steps=steps, batch_size=MANY, **options)

    kinds: dict[str, tuple[str, Callable[..., float], dict[str, bool]]] = {
        "dann with small_cnn ÷ a bare loop": ("method=dann", bare_loops.dann, {"best": False}),
        "the same ÷ that loop with channels_last and fused AdamW": ("method=dann", bare_loops.dann, {"best": True}),
        "adda with small_cnn ÷ the tutorial's adversarial loop": ("method=adda", bare_loops.tutorial_adversary, {}),
    }
    found: Ratios = {}
    for _ in range(arguments.rounds):
        for name, (method, loop, layout) in kinds.items():
            found.setdefault(name, []).append(rate(ours(method)) / theirs(loop, **layout))
        compiled = rate(ours("method=dann", "trainer.compile=true"))
        plain = theirs(bare_loops.dann, best=False)
        found.setdefault("dann with trainer.compile=true ÷ the first bare loop, after warm-up", []).append(compiled / plain)
    return found


def photographs(arguments: argparse.Namespace, folder: Path, *overrides: str) -> Run:
    """Build a run on photographs, including the first reading and decoding of its data."""
    weights = ("model.weights=null",) if arguments.random_weights else ()
    workers = f"data.num_workers={arguments.workers}"
    return prepared(folder, "data=image_folder", f"model={arguments.model}", *weights, workers, f"data.batch_size={FEW}", *overrides)


def frozen_by_acclimate(arguments: argparse.Namespace, folder: Path, epochs: int) -> Trained:
    """Train with the rate, batches and epochs of the tutorial; the time includes building the model and a checkpoint per epoch."""
    settings = ("method=linear_probe", "optimizer.lr=0.001", "optimizer.weight_decay=0", "scheduler=constant", "data.source_view=plain")
    started = time.perf_counter()
    images = (f"data.source={arguments.images}", "data.crop=1.0", f"trainer.max_epochs={epochs}")
    run = photographs(arguments, folder, *images, *settings)
    run.trainer.fit(run.method, run.data)
    seconds = time.perf_counter() - started
    run.trainer.limit_val_batches = 1.0
    accuracy = run.trainer.validate(run.method, run.data, verbose=False)[0]["source/val_accuracy"]
    return Trained(seconds, accuracy)


def frozen(arguments: argparse.Namespace, folder: Path) -> Ratios:
    """Measure a new head on a frozen backbone, whose features acclimate computes once."""
    backbone = photographs(arguments, folder, f"data.source={arguments.images}", "method=linear_probe").method.classifier.backbone
    found: Ratios = {}
    for _ in range(arguments.rounds):
        for epochs in arguments.epochs:
            about = f"frozen {arguments.model}, {epochs} epochs"
            store.clear()
            theirs = plainly(
                bare_loops.frozen_backbone, arguments.images, backbone, epochs=epochs, batch_size=FEW, workers=arguments.workers
            )
            ours = frozen_by_acclimate(arguments, folder, epochs)
            found.setdefault(f"new head on a {about} ÷ the tutorial's loop", []).append(theirs.seconds / ours.seconds)
            found.setdefault(f"its accuracy − the tutorial's: {about}", []).append(ours.accuracy - theirs.accuracy)
    return found


def second_job(arguments: argparse.Namespace, folder: Path) -> Ratios:
    """Measure two jobs of a sweep on the same frozen features: seconds of training after the models are built."""
    found: Ratios = {f"second job of a sweep on a frozen {arguments.model} ÷ the first": []}
    for _ in range(arguments.rounds):
        store.clear()
        seconds = []
        for seed in range(2):
            images = (f"data.source={arguments.images}", "data.source_view=plain", "trainer.max_epochs=5", f"seed={seed}")
            run = photographs(arguments, folder, "method=linear_probe", *images)
            started = time.perf_counter()
            run.trainer.fit(run.method, run.data)
            seconds.append(time.perf_counter() - started)
        found[next(iter(found))].append(seconds[0] / seconds[1])
    return found


def kept_features(arguments: argparse.Namespace, folder: Path) -> Ratios:
    """Measure `dann` on precomputed features: the overhead of the framework, callbacks, logging, checkpoints and validations."""
    steps, batch_size = 1500, 32
    data = ("data.num_source=1280", "data.num_source_eval=300", f"data.batch_size={batch_size}", "data.image_size=32")
    model = ("model=efficientnet_lite0", "model.weights=null", "model.freeze=backbone", "method=dann")
    once = (f"trainer.val_check_interval={steps}", "trainer.check_val_every_n_epoch=null")

    def ours(name: str, *validations: str) -> float:
        words = [*data, *model, "trainer=cpu", f"trainer.max_steps={steps}", f"folder={folder}/{name}", *validations]
        words.append("+callbacks.clock={_target_: clock.Clock}")
        acclimate.train(acclimate.compose(words))
        return steps / (Clock.without_last_validation if validations else Clock.seconds)

    features = features_of(prepared(folder, *data, *model))
    found: Ratios = {}
    for number in range(arguments.rounds):
        bare = plainly(bare_loops.dann_on_features, features, steps=steps, batch_size=batch_size)
        for name, validations in (("dann on kept features", once), ("the same with a validation in each of 38 epochs", ())):
            ratio = ours(f"{number}{len(validations)}", *validations) / bare
            found.setdefault(f"{name} ÷ a bare loop", []).append(ratio)
    return found


def features_of(run: Run) -> KeptFeatures:
    """Return the training data of a run with a frozen backbone, which are computed here and then read by all runs."""
    run.data.trainer = run.trainer
    epoch = list(run.data.train_dataloader())
    source, target = (torch.cat([getattr(batch, domain).inputs.values for batch in epoch]) for domain in ("source", "target"))
    return KeptFeatures(source, torch.cat([batch.source.labels for batch in epoch]), target[: len(run.data.domains.target.train)])


def pipeline(arguments: argparse.Namespace, folder: Path) -> Ratios:
    """Measure the batches only, including the first reading and decoding; ours are uint8, which the model converts."""
    found: Ratios = {}
    root = arguments.images / "train"
    for _ in range(arguments.rounds):
        for view in ("plain", "crop_flip"):
            store.clear()
            theirs = plainly(bare_loops.image_folder, root, view, epochs=2, batch_size=FEW, workers=arguments.workers)
            ours = two_epochs(root, view, arguments.workers)
            for epoch, our, their in zip((1, 2), ours, theirs, strict=True):
                found.setdefault(f"batches of photographs, {view}, epoch {epoch} ÷ ImageFolder", []).append(our / their)
    return found


def two_epochs(root: Path, view: ViewName, workers: int) -> list[float]:
    """Return our images per second in each of two epochs, and end the workers, with which this process would share memory."""
    started = time.perf_counter()
    # All but one or two images of each class are for training.
    parts = {"val_fraction": 0.01, "test_fraction": 0.01}
    data = ImageFolder(source=str(root), cache="disk", source_view=view, batch_size=FEW, num_workers=workers, **parts)
    data.prepare_for(spec=ImageSpec(bare_loops.SIZE), needs=Needs(target=False), reveal_target_labels=False)
    loader = data.train_dataloader()
    rates = []
    for _ in range(2):
        rates.append(sum(len(batch.source.inputs) for batch in loader) / (time.perf_counter() - started))
        started = time.perf_counter()
    return rates


def resnet(arguments: argparse.Namespace, folder: Path) -> Ratios:
    """Measure `dann` with all layers of a ResNet-50 at 224 pixels."""
    source, target, batch_size, steps = arguments.images / "train", arguments.images / "val", FEW // 2, 3
    name = "dann with resnet50 on photographs ÷ a loop over ImageFolder"
    found: Ratios = {name: []}
    domains = (f"data.source={source}", f"data.target={target}", f"data.batch_size={batch_size}")
    for _ in range(arguments.rounds):
        # One step more than is measured, as in the loop.
        run = photographs(
            argparse.Namespace(**{**vars(arguments), "model": "resnet50", "random_weights": True}),
            folder,
            *domains,
            "method=dann",
            "method.batch_norm=joint",
            f"trainer.max_steps={steps + 1}",
            "data.source_view=crop_flip",
            "data.target_views=[crop_flip]",
        )
        run.throughput.warms_up = True
        theirs = plainly(bare_loops.dann_on_photographs, source, target, steps=steps, batch_size=batch_size, workers=arguments.workers)
        found[name].append(rate(run) / theirs)
    return found


def memory(arguments: argparse.Namespace, folder: Path) -> Ratios:
    """Measure the peak memory of `acclimate train` on many files, with decoded images on disk ÷ without."""
    few = make_up_photographs(folder / "few", num_images=60, size=(224, 224))
    many = folder / "many"
    for number in range(arguments.num_files):
        original = few[number % len(few)]
        link = many / original.parent.name / f"{number}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(original, link)
    words = (f"data.source={many}", "data=image_folder", "method=source_only", "data.num_workers=0", "trainer=cpu", "logger=none")
    short = ("trainer.max_steps=20", "+trainer.limit_val_batches=2", "+trainer.limit_test_batches=2", "data.batch_size=32")
    peaks = {}
    for cache in ("none", "disk"):
        command = (ACCLIMATE, "train", *words, *short, f"data.cache={cache}", f"hydra.run.dir={folder}/{cache}", "data.target=null")
        program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(program.pid, 0)
        if status:
            raise RuntimeError(f"Failed: {' '.join(command)}")
        peaks[cache] = used.ru_maxrss
    return {f"memory with {arguments.num_files} files, data.cache=disk ÷ none": [peaks["disk"] / peaks["none"]]}


def parallel_jobs(arguments: argparse.Namespace, folder: Path) -> Ratios:
    """Measure eight jobs of a sweep in a row and side by side, as whole commands, in at most two rounds, because they take minutes."""
    words = ("method=dann", "seed=0,1,2,3,4,5,6,7", f"trainer.max_steps={arguments.job_steps}", "trainer=cpu")
    found: Ratios = {}

    def seconds(name: str, *launcher: str) -> float:
        command = (ACCLIMATE, "train", "-m", *words, *launcher, f"hydra.sweep.dir={folder}/{name}")
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    # The digits are rendered once.
    subprocess.run((ACCLIMATE, "train", "trainer=smoke", f"hydra.run.dir={folder}/first"), check=True, stdout=subprocess.DEVNULL)
    for number in range(min(arguments.rounds, 2)):
        in_a_row = seconds(f"basic{number}")
        for what, jobs in (("one for each core", ()), ("all at once", ("hydra.launcher.n_jobs=8",))):
            side_by_side = seconds(f"joblib{number}{len(jobs)}", "hydra/launcher=joblib", *jobs)
            found.setdefault(f"eight jobs of a sweep in a row ÷ side by side, {what}", []).append(in_a_row / side_by_side)
    return found


def help_text(arguments: argparse.Namespace, folder: Path) -> Ratios:
    """Measure the seconds until the list of commands appears, which is not a ratio."""
    name = "seconds until acclimate --help has answered"
    found: Ratios = {name: []}
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        subprocess.run([ACCLIMATE, "--help"], check=True, stdout=subprocess.DEVNULL)
        found[name].append(time.perf_counter() - started)
    return found


PARTS: dict[str, Callable[[argparse.Namespace, Path], Ratios]] = {
    "step": step,
    "frozen": frozen,
    "second_job": second_job,
    "kept_features": kept_features,
    "pipeline": pipeline,
    "resnet": resnet,
    "memory": memory,
    "parallel_jobs": parallel_jobs,
    "help": help_text,
}


class Measured(NamedTuple):
    """A row of the table."""

    what: str
    ratios: list[float]
    command: str


def draw(rows: list[Measured], file: Path) -> None:
    """Plot the ratios on a logarithmic axis."""
    ratios = [row for row in rows if "÷" in row.what]
    figure = Figure(figsize=(11, 1 + 0.4 * len(ratios)), layout="constrained")
    axes = figure.add_subplot()
    medians = [statistics.median(row.ratios) for row in ratios]
    axes.barh(range(len(ratios)), medians, color=["#3b75af" if median >= 1 else "#c44e52" for median in medians])
    for place, row in enumerate(ratios):
        axes.plot([min(row.ratios), max(row.ratios)], [place, place], color="black", linewidth=1)
        axes.annotate(f" {medians[place]:.2f}", (max(row.ratios), place), va="center")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(ratios)), [row.what for row in ratios])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.margins(x=0.15)
    axes.set_xlabel("ratio, median and range")
    FigureCanvasAgg(figure)
    figure.savefig(file, dpi=110)


def report(file: Path, console: Console) -> None:
    """Print the table of all measurements so far, and write it as Markdown and as a picture."""
    rows = [Measured(**row) for row in json.loads(file.read_text())["rows"]]
    cells = [[row.what, *(f"{pick(row.ratios):.2f}" for pick in (statistics.median, min, max)), row.command] for row in rows]
    results = Results("Speed", ("ratio", "median", "lowest", "highest", "command"), cells, f"{os.cpu_count()} processor cores.")
    results.show(console)
    file.with_suffix(".md").write_text(results.markdown())
    draw(rows, file.with_suffix(".png"))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=f"some of {', '.join(PARTS)}; all of them without")
    parser.add_argument("--images", type=Path, help="a folder with train/ and val/")
    parser.add_argument("--model", default="efficientnet_lite0", help="the frozen backbone")
    parser.add_argument("--random-weights", action="store_true", help="where the model's own cannot be had")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=80, help="of each program in each round")
    parser.add_argument("--epochs", type=lambda text: [int(number) for number in text.split(",")], default=[5], help="with commas between")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--job-steps", type=int, default=600, help="of each of the eight jobs")
    parser.add_argument("--num-files", type=int, default=50_000)
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose among {', '.join(PARTS)}")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    console = Console(width=None if sys.stdout.isatty() else 180)
    file = arguments.folder / "speed.json"
    settings = [word for word in sys.argv[1:] if word not in PARTS]
    with tempfile.TemporaryDirectory() as scratch:
        # Not the user's cache, which must not be cleared.
        os.environ["ACCLIMATE_CACHE"] = f"{scratch}/cache"
        if arguments.images is None:
            arguments.images = Path(os.environ.get("ACCLIMATE_DATA", "../shared/data")) / "hymenoptera"
        if not arguments.images.is_dir():
            arguments.images = Path(scratch) / "photographs"
            make_up_photographs(arguments.images / "train", num_images=244)
            make_up_photographs(arguments.images / "val", num_images=153)
        for part in arguments.parts:
            console.print(f"measuring {part}")
            found = PARTS[part](arguments, Path(scratch) / part)
            before = json.loads(file.read_text())["rows"] if file.exists() else []
            command = f'make benchmark ARGS="{" ".join([part, *settings])}"'
            measured = [Measured(what, ratios, command)._asdict() for what, ratios in found.items()]
            place = next((number for number, row in enumerate(before) if row["what"] in found), len(before))
            rows = [*before[:place], *measured, *(row for row in before[place:] if row["what"] not in found)]
            write_json(file, {"rows": rows})
    report(file, console)


if __name__ == "__main__":
    main()
