"""Speed on one GPU, as ratios of programs that alternate in one run on one machine, and the tests that need a GPU.

Ratios above 1 mean that acclimate is faster. The whole takes less than 8 minutes on an H100, and writes `gpu.json` and
`gpu.md`. A machine without a network installs missing packages from `wheels/`, which `make wheels` fills on another one.

    make benchmark-gpu
    make benchmark-gpu ARGS="photographs --rounds 1"
"""

import argparse
import contextlib
import functools
import itertools
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import bare_loops
import pytorch_lightning as pl
import torch
from bare_loops import Digits, make_up_photographs
from program import Results, options
from pytorch_lightning.callbacks import Callback
from rich.console import Console

import acclimate
from acclimate.files.atomic_files import write_json
from acclimate.training.assembly import Run, build
from acclimate.training.parts import NO_LOGGER

MANY = 64
# No output, and no checkpoints, which Lightning would otherwise save after each epoch.
QUIET = ("+trainer.enable_progress_bar=false", "+trainer.enable_checkpointing=false")
# Logging would read the losses from the device.
SILENT = ("trainer.log_every_n_steps=1000",)
# Methods of each kind of step: adversarial, with terms and strong views, alternating, with moments and with transport plans.
KINDS = ("source_only", "dann", "cdan_e", "dann_mcc_fixmatch", "mcd", "adda", "dan", "deep_coral", "mdd", "shot")


class Row(NamedTuple):
    """A measured quantity, with its goal and its value in each round."""

    what: str
    goal: str
    values: list[float]


class Window(Callback):
    """Callback that measures the seconds between two steps, without other work of the device.

    Args:
        first: The first measured step; earlier ones are the warm-up.
        last: The last measured step.
        counts_waits: Whether to count operations that synchronise with the device, which slows the steps down.
    """

    def __init__(self, first: int, last: int, *, counts_waits: bool = False) -> None:
        self.first = first
        self.last = last
        self.counts_waits = counts_waits
        self.seconds = 0.0
        self.waits: list[str] = []
        self._started = 0.0
        self._step = -1

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        self._step += 1
        if self._step == self.first:
            synchronise()
            self._started = time.perf_counter()
            if self.counts_waits and torch.cuda.is_available():
                warnings.showwarning = self._count
                torch.cuda.set_sync_debug_mode("warn")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._step == self.last:
            if self.counts_waits and torch.cuda.is_available():
                torch.cuda.set_sync_debug_mode("default")
            synchronise()
            self.seconds = time.perf_counter() - self._started

    def _count(self, message: Warning | str, *about: Any) -> None:
        if str(message).startswith("called a synchronizing"):
            frames = [frame for frame in traceback.extract_stack() if frame.filename not in (__file__, warnings.__file__)]
            self.waits.append(" < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[::-1][:3]))

    @property
    def steps(self) -> int:
        return self.last - self.first + 1


class Repeated:
    """A loader that repeats one batch. Lightning would treat a list of batches as a list of loaders."""

    def __init__(self, batch: Any, times: int) -> None:
        self.batch = batch
        self.times = times

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Iterator[Any]:
        return itertools.repeat(self.batch, self.times)


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Context manager that hides warnings, but issues each of them every time, so that they can be counted."""
    show = warnings.showwarning
    warnings.simplefilter("always")
    warnings.showwarning = lambda *about, **named: None
    try:
        yield
    finally:
        warnings.showwarning = show


class Bench:
    """Runs on one device.

    Args:
        arguments: Of the command line.
        scratch: An empty folder.
    """

    def __init__(self, arguments: argparse.Namespace, scratch: Path) -> None:
        self.arguments = arguments
        self.scratch = scratch
        self.workers = os.cpu_count() or 1
        self.device = "cpu" if arguments.cpu else "cuda"
        self.trainer = "trainer=cpu" if arguments.cpu else "trainer=gpu"

    def run(self, *overrides: str, steps: int) -> Run:
        """Build a run without validations and without callbacks for output."""
        words = [f"folder={self.scratch}/run", self.trainer, f"trainer.max_steps={steps}", *QUIET, *overrides]
        config = acclimate.compose(words)
        run = build(config | {"callbacks": {}, "logger": NO_LOGGER})
        run.trainer.limit_val_batches = 0
        return run

    def measure(self, run: Run, *, steps: int, warm_up: int, counts_waits: bool = False, stays: bool = False) -> Window:
        """Train, and measure all steps after the warm-up.

        Args:
            run: A run of `warm_up + steps` steps.
            steps: Number of measured steps.
            warm_up: Number of steps before them.
            counts_waits: See `Window`.
            stays: Whether every step uses the first batch, which stays on the device.
        """
        if stays:
            first = next(iter(run.data.train_dataloader()))
            batch = run.method.transfer_batch_to_device(first, torch.device(self.device), 0)
            run.data.train_dataloader = lambda: Repeated(batch, warm_up + steps)  # type: ignore[method-assign]
        window = Window(warm_up, warm_up + steps - 1, counts_waits=counts_waits)
        run.trainer.callbacks.append(window)  # type: ignore[attr-defined]
        with quiet():
            run.trainer.fit(run.method, run.data)
        if not window.seconds:
            raise RuntimeError(f"The run ended before step {window.last}.")
        return window

    def resnet50(self, *overrides: str, steps: int) -> Run:
        source, target = self.photographs
        size = (f"data.image_size={self.arguments.size}",) if self.arguments.size else ()
        words = ("data=image_folder", f"data.source={source}", f"data.target={target}", f"data.num_workers={self.workers}", *size)
        batch_size = f"data.batch_size={self.arguments.batch_size}"
        return self.run(
            "model=resnet50", "model.weights=null", "method=dann", "method.batch_norm=joint", batch_size, *words, *overrides, steps=steps
        )

    @functools.cached_property
    def photographs(self) -> tuple[Path, Path]:
        """Return folders with JPEG files of two domains, with two classes each."""
        folders = self.scratch / "source", self.scratch / "target"
        share = -(-self.arguments.num_images // self.workers)
        with ProcessPoolExecutor(self.workers) as pool:
            made = [
                pool.submit(make_up_photographs, folder, num_images=share, seed=number)
                for folder in folders
                for number in range(self.workers)
            ]
            for photographs in made:
                # Raises an error of the process.
                photographs.result()
        return folders

    @functools.cached_property
    def digits(self) -> Digits:
        domains = self.run("method=dann", f"data.batch_size={MANY}", steps=1).data.domains
        tensors = domains.source.train.images, domains.source.train.labels, domains.target.train.images
        return Digits(*(tensor.to(self.device) for tensor in tensors))


def photographs(bench: Bench) -> list[Row]:
    """Measure `dann` with a ResNet-50 on JPEG files in bfloat16, relative to steps without a data pipeline and to a plain loop."""
    steps, warm_up, batch_size = bench.arguments.steps, bench.arguments.warm_up, bench.arguments.batch_size
    rates: dict[str, list[float]] = {name: [] for name in ("decoded", "jpeg", "resident", "plain")}
    for _ in range(bench.arguments.rounds):
        for name, overrides in (("decoded", ()), ("jpeg", ("data.cache=none",)), ("resident", ())):
            run = bench.resnet50(*overrides, steps=steps + warm_up)
            window = bench.measure(run, steps=steps, warm_up=warm_up, stays=name == "resident")
            rates[name].append(2 * batch_size * steps / window.seconds)
        source, target = bench.photographs
        rates["plain"].append(
            bare_loops.dann_on_photographs(
                source, target, steps=steps, warm_up=warm_up, batch_size=batch_size, workers=bench.workers, device=bench.device
            )
        )
    window = window_of_waits(bench, bench.resnet50(*SILENT, steps=15))
    return [
        Row(
            "dann, ResNet-50, JPEG files decoded once (default) ÷ batches on the device",
            "≥ .9",
            ratios(rates["decoded"], rates["resident"]),
        ),
        Row(
            "dann, ResNet-50, JPEG files decoded in every step (data.cache=none) ÷ batches on the device",
            "",
            ratios(rates["jpeg"], rates["resident"]),
        ),
        Row(
            "dann, ResNet-50, JPEG files decoded once (default) ÷ a plain float32 loop over ImageFolder",
            "≥ 3",
            ratios(rates["decoded"], rates["plain"]),
        ),
        Row("images per second: dann, ResNet-50, JPEG files decoded once", "", rates["decoded"]),
        *waits("dann, ResNet-50", window),
    ]


def compiled(bench: Bench) -> list[Row]:
    """Measure `trainer.compile=true` relative to false, on batches that stay on the device."""
    steps, warm_up = bench.arguments.steps, bench.arguments.warm_up
    models: dict[str, Callable[..., Run]] = {
        "small_cnn": lambda *words, steps: bench.run("method=dann", f"data.batch_size={MANY}", *words, steps=steps),
        "ResNet-50": bench.resnet50,
    }
    rows = []
    for model, make in models.items():
        seconds: dict[str, list[float]] = {"true": [], "false": []}
        for _ in range(bench.arguments.rounds):
            for compiles, found in seconds.items():
                run = make(f"trainer.compile={compiles}", steps=steps + warm_up)
                found.append(bench.measure(run, steps=steps, warm_up=warm_up, stays=True).seconds)
        rows.append(Row(f"dann, {model}: trainer.compile=true ÷ false, after the warm-up", "", ratios(seconds["false"], seconds["true"])))
    return rows


def step(bench: Bench) -> list[Row]:
    """Measure `dann` on digits: the overhead of the framework for a tiny network."""
    steps, warm_up = 4 * bench.arguments.steps, bench.arguments.warm_up
    found = []
    for _ in range(bench.arguments.rounds):
        run = bench.run("method=dann", f"data.batch_size={MANY}", "trainer.precision=32-true", steps=steps + warm_up)
        ours = bench.measure(run, steps=steps, warm_up=warm_up, stays=True).seconds
        rate = bare_loops.dann(bench.digits, steps=steps, batch_size=MANY, best=True)
        found.append(2 * MANY * steps / ours / rate)
    return [Row("dann, small_cnn, batches on the device ÷ a bare loop", "", found)]


def waits_of_methods(bench: Bench) -> list[Row]:
    """Count the operations of a step that synchronise with the device."""
    rows: list[Row] = []
    for method in KINDS:
        words = [f"method={method}", f"data.batch_size={MANY}"]
        if method == "shot":
            origin = bench.scratch / "origin"
            run = bench.run("method=source_only", f"folder={origin}", steps=2)
            run.trainer.fit(run.method, run.data)
            run.trainer.save_checkpoint(origin / "origin.ckpt")
            words.append(f"init_from={origin / 'origin.ckpt'}")
        rows += waits(f"{method}, small_cnn", window_of_waits(bench, bench.run(*words, *SILENT, steps=15)))
    return rows


def window_of_waits(bench: Bench, run: Run) -> Window:
    return bench.measure(run, steps=8, warm_up=5, counts_waits=True)


def waits(about: str, window: Window) -> list[Row]:
    places = sorted({f"{window.waits.count(place)} × {place}" for place in window.waits})
    where = f" ({'; '.join(places)})" if places else ""
    return [Row(f"waits for the device per step: {about}{where}", "0", [len(window.waits) / window.steps])]


def tests(bench: Bench) -> list[Row]:
    """Run the tests that need a GPU, such as the exact resume of deterministic runs, in the folder of the project."""
    marked = [str(file) for file in sorted(Path("tests").rglob("test_*.py")) if "pytest.mark.gpu" in file.read_text()]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-n",
        str(min(12, bench.workers)),
        "-rfE",
        "--tb=short",
        "--durations=5",
        *marked,
    ]
    file = bench.arguments.folder / "gpu_tests.txt"
    with file.open("w") as report, contextlib.suppress(subprocess.TimeoutExpired):
        # Threads of several processes would wait for each other.
        settings = {**os.environ, "OMP_NUM_THREADS": "1"}
        limit = bench.arguments.seconds_of_tests
        subprocess.run(command, stdout=report, stderr=subprocess.STDOUT, env=settings, check=False, timeout=limit)
    words = file.read_text().replace(",", " ").split()
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0.0)
    for number, word in pairwise(words):
        if word in counts and number.isdigit():
            counts[word] = float(number)
    goals = {"passed": "", "failed": "0", "skipped": "0"}
    return [Row(f"tests marked gpu: {word}", goals[word], [count]) for word, count in counts.items()]


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "photographs": photographs,
    "step": step,
    "waits": waits_of_methods,
    "tests": tests,
    "compiled": compiled,
}


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(numerators, denominators, strict=True)]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=f"some of {', '.join(PARTS)}; all of them without")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="of each program in each round")
    parser.add_argument("--warm-up", type=int, default=20, help="steps before these, which are not measured")
    parser.add_argument("--batch-size", type=int, default=64, help="photographs of each domain in a batch")
    parser.add_argument("--num-images", type=int, default=2000, help="photographs of each domain")
    parser.add_argument("--size", type=int, help="of photographs in pixels, if not that of the model")
    parser.add_argument("--seconds-of-tests", type=float, default=180, help="after which the tests are stopped")
    parser.add_argument("--cpu", action="store_true", help="to try the program itself")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose among {', '.join(PARTS)}")
    if not (arguments.cpu or torch.cuda.is_available()):
        parser.exit(2, "There is no GPU here. Try the program itself with --cpu.\n")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    console = Console(width=None if sys.stdout.isatty() else 180)
    device = "the processor" if arguments.cpu else torch.cuda.get_device_name()
    caption = (
        f"{device}, {os.cpu_count()} processor cores, torch {torch.__version__}: median, lowest and highest of {arguments.rounds} rounds."
    )
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ACCLIMATE_CACHE"] = f"{scratch}/cache"
        bench = Bench(arguments, Path(scratch))
        for part in arguments.parts:
            started = time.perf_counter()
            try:
                rows += PARTS[part](bench)
            except Exception:
                failures.append(f"{part}: {traceback.format_exc()}")
                console.print(failures[-1], markup=False)
            console.print(f"{part}: {time.perf_counter() - started:.0f} s")
            # After each part, because the machine may become unavailable.
            cells = [[row.what, row.goal, *(f"{pick(row.values):.3g}" for pick in (statistics.median, min, max))] for row in rows]
            results = Results("Speed on a GPU", ("", "goal", "median", "lowest", "highest"), cells, caption)
            write_json(arguments.folder / "gpu.json", {"device": caption, "rows": [row._asdict() for row in rows], "failures": failures})
            (arguments.folder / "gpu.md").write_text(results.markdown())
    results.show(console)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
