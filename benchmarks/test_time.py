"""Adaptation of batch norm at test time: `ada_bn` and `tent` on shifted digits, without source images and without labels.

A small network trains on MNIST. Other digits of MNIST get brighter, lose contrast or get noise, at five severities: some are
used for adaptation, without labels, and others for testing. `ada_bn` uses the statistics of the former. `tent` adapts to the
stream of test images only, in one pass in which every batch is predicted before the step on it, and again after five passes
over the images for adaptation, after which it must not have collapsed. Finished runs are skipped.

    make benchmark-test-time
    python benchmarks/test_time.py optimizer.lr=0.0001
"""

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from grid import QUIET, compose, train_once
from hydra.errors import HydraException
from numpy.typing import NDArray
from program import Results, options, start
from rich.console import Console

from acclimate.config.compose import override
from acclimate.errors import UserError
from acclimate.files.atomic_files import write_json
from acclimate.runs.checkpoint_files import best_checkpoint
from acclimate.runs.checkpoints import read_checkpoint
from acclimate.seeds import seed_for
from acclimate.training.evaluation import evaluate

Images = NDArray[np.uint8]

# Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019: the
# constants of their code for ImageNet. Those for CIFAR-10 are too mild to affect a network for digits.
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)
SEVERITIES = range(1, 6)


def brighter(images: Images, severity: int) -> Images:
    """Add a constant to grey images; the original adds it to the value of HSV, which is the same for grey."""
    return _to_pixels(images / 255 + BRIGHTNESS[severity - 1])


def with_less_contrast(images: Images, severity: int) -> Images:
    """Move the pixels of each image towards its mean."""
    scaled = images / 255
    means = scaled.mean(axis=(1, 2), keepdims=True)
    return _to_pixels((scaled - means) * CONTRAST[severity - 1] + means)


def with_noise(images: Images, severity: int) -> Images:
    """Add Gaussian noise, which is always the same for the same position of an image."""
    noise = np.random.default_rng(seed_for("noise", severity)).normal(scale=NOISE[severity - 1], size=images.shape)
    return _to_pixels(images / 255 + noise)


def _to_pixels(scaled: NDArray[np.float64]) -> Images:
    return (scaled.clip(0, 1) * 255).astype(np.uint8)


SHIFTS: dict[str, Callable[[Images, int], Images]] = {"brightness": brighter, "contrast": with_less_contrast, "noise": with_noise}
UNADAPTED = "no adaptation"
# The published batch has 200 images.
COMMON = (*QUIET, "trainer=cpu", "data=arrays", "model=small_cnn", "data.eval_batch_size=200")
SOURCE = ("method=source_only", "data.target=null", "selection=source_accuracy", "trainer.max_epochs=2")
ADAPTATION = ("data.source=null", "data.batch_size=200", "selection=last")
WAYS = {
    "ada_bn": ("method=ada_bn", "trainer.max_epochs=1"),
    "tent": ("method=tent", "trainer.max_steps=1"),
    "tent after 5 passes": ("method=tent", "trainer.max_epochs=5"),
}


class Sizes(NamedTuple):
    """Numbers of images of MNIST for training, adaptation and testing."""

    source: int = 10_000
    adapting: int = 2_000
    tested: int = 2_000


SIZES = Sizes()


def write_archives(mnist: Path, folder: Path, sizes: Sizes) -> None:
    """Write the source and one target for each shift and severity, all of different images of MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(mnist) as digits:
        clean = {name: digits[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    # The archive may be sorted by class.
    order, test = (np.random.default_rng(0).permutation(len(clean[name])) for name in ("y_train", "y_test"))
    train, adapt, test = order[: sizes.source], order[-sizes.adapting :], test[: sizes.tested]
    adapting, tested, labels = clean["x_train"][adapt], clean["x_test"][test], clean["y_test"][test]
    np.savez(folder / "source.npz", x_train=clean["x_train"][train], y_train=clean["y_train"][train], x_test=tested, y_test=labels)
    for name, shift in SHIFTS.items():
        for severity in SEVERITIES:
            np.savez(folder / f"{name}-{severity}.npz", x_train=shift(adapting, severity), x_test=shift(tested, severity), y_test=labels)


def accuracies(source_run: Path, target: Path, folder: Path, overrides: list[str]) -> dict[str, float]:
    """Return the accuracy of each method on the test images of a target."""
    checkpoint = read_checkpoint(best_checkpoint(source_run))
    found = {UNADAPTED: evaluate(override(checkpoint["config"], [f"data.target={target}", "trainer.enable_progress_bar=true"]), checkpoint)}
    for way, settings in WAYS.items():
        words = [*COMMON, *ADAPTATION, *settings, f"data.target={target}", f"init_from={source_run}", *overrides]
        found[way] = train_once(compose(words, folder / way.replace(" ", "_")))
    return {way: metrics.get("target/online_test_accuracy", metrics["target/test_accuracy"]) for way, metrics in found.items()}


CAPTION = (
    "Accuracy on MNIST's test images after a shift, severities 1 to 5 and their mean. tent: one pass, online, after a "
    "single step on other images of the shift; after 5 passes over "
    "other images of the shift: one more, online."
)


def run_benchmark(arguments: argparse.Namespace, console: Console) -> int:
    """Train and report; return the exit code."""
    mnist = Path(os.environ.get("ACCLIMATE_DATA", "../shared/data")) / "mnist.npz"
    if not mnist.exists():
        console.print(f"There is no {mnist}. Set ACCLIMATE_DATA to the folder that holds it.", soft_wrap=True)
        return 2
    folder = (arguments.folder / "test_time").resolve()
    write_archives(mnist, folder / "data", SIZES)
    source_run = folder / "source"
    found: dict[str, list[dict[str, float]]] = {}
    try:
        train_once(compose([*COMMON, *SOURCE, f"data.source={folder / 'data' / 'source.npz'}"], source_run))
        for shift in SHIFTS:
            for severity in SEVERITIES:
                name = f"{shift}-{severity}"
                found.setdefault(shift, []).append(
                    accuracies(source_run, folder / "data" / f"{name}.npz", folder / name, arguments.overrides)
                )
                console.print(f"{name}: " + ", ".join(f"{way} {value:.4f}" for way, value in found[shift][-1].items()))
    except (HydraException, UserError) as error:
        console.print(str(error), markup=False)
        return 2
    report(found, arguments.folder / "test_time.md", console)
    return 0


def report(found: dict[str, list[dict[str, float]]], file: Path, console: Console) -> None:
    """Print the table and write it as Markdown and JSON."""
    rows = []
    for shift, by_severity in found.items():
        for way in by_severity[0]:
            values = [accuracy[way] for accuracy in by_severity]
            rows.append([f"{shift}: {way}", *(f"{value:.4f}" for value in values), f"{statistics.fmean(values):.4f}"])
    results = Results("shifted digits", ("shift and way", *map(str, SEVERITIES), "mean"), rows, CAPTION)
    results.show(console)
    contents: dict[str, Any] = found
    write_json(file.with_suffix(".json"), contents)
    file.write_text(results.markdown())


def main() -> None:
    start(run_benchmark, options(__doc__))


if __name__ == "__main__":
    main()
