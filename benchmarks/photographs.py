"""What decoding once and computing features once save on photographs, against the loops that tutorials show.

Both programs see the same files in the same process, in turns, each round with a cache that is empty at first. The
table gives ratios of seconds, the tutorial's loop ÷ acclimate, or of images per second, so values above 1 mean that acclimate is faster.

    python benchmarks/photographs.py frozen --images DIR --epochs 5
    python benchmarks/photographs.py pipeline --images DIR --view crop_flip

DIR holds train/ and val/ with class folders; without it images are made up, whose accuracies mean nothing.
"""

import argparse
import copy
import json
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import hydra
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from acclimate import cache_folder
from acclimate.composition import resolve
from acclimate.config import conf_dir
from acclimate.data.image_folder import ImageFolder
from acclimate.run import NO_LOGGER, build
from acclimate.types import DomainBatch

SIZE = 224
BATCH_SIZE = 32


class Timed(NamedTuple):
    seconds: float
    accuracy: float


def make_up_photographs(folder: Path, *, num_images: int) -> None:
    """JPEG files of 500 × 375 pixels, in two classes, with as much detail as photographs have."""
    generator = np.random.default_rng(0)
    for part, share in (("train", 2), ("val", 1)):
        for number in range(num_images * share // 3):
            path = folder / part / f"class{number % 2}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(generator.integers(0, 256, (75, 100, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)


def configuration(arguments: argparse.Namespace, folder: Path, *overrides: str) -> dict:
    options = [
        "data=image_folder",
        f"data.source={arguments.images}",
        f"model={arguments.model}",
        *(["model.weights=null"] if arguments.random_weights else []),
        "method=linear_probe",
        "trainer=cpu",
        f"data.batch_size={BATCH_SIZE}",
        f"data.num_workers={arguments.workers}",
        "data.crop=1.0",
        "+trainer.enable_progress_bar=false",
        f"folder={folder}",
        *overrides,
    ]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return resolve(hydra.compose("train", options)) | {"callbacks": {}, "logger": NO_LOGGER}


def to_floats(view: str, mean: torch.Tensor, std: torch.Tensor) -> transforms.Compose:
    """What tutorials do to an image of PIL."""
    sized = [transforms.Resize((SIZE, SIZE))]
    if view == "crop_flip":
        sized = [transforms.RandomResizedCrop(SIZE, scale=(0.25, 1.0)), transforms.RandomHorizontalFlip()]
    return transforms.Compose([*sized, transforms.ToTensor(), transforms.Normalize(mean.flatten().tolist(), std.flatten().tolist())])


def frozen_by_tutorial(arguments: argparse.Namespace, backbone: nn.Module) -> Timed:
    """A new head on a frozen network, whose every epoch decodes all images and computes all features."""
    torch.manual_seed(0)
    # It finds the model built.
    body = copy.deepcopy(backbone.body).to(memory_format=torch.contiguous_format).requires_grad_(False)
    started = time.perf_counter()
    plain = to_floats("plain", backbone.mean, backbone.std)
    sets = {part: datasets.ImageFolder(arguments.images / part, plain) for part in ("train", "val")}
    loaders = {part: DataLoader(sets[part], BATCH_SIZE, shuffle=part == "train", num_workers=arguments.workers) for part in sets}
    model = nn.Sequential(body, nn.Linear(backbone.num_features, len(sets["train"].classes)))
    optimizer = torch.optim.Adam(model[1].parameters(), lr=1e-3)
    model.train()
    for _ in range(arguments.epochs):
        for images, labels in loaders["train"]:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - started
    with torch.inference_mode():
        model.eval()
        right = sum((model(images).argmax(dim=1) == labels).sum().item() for images, labels in loaders["val"])
    return Timed(seconds, right / len(sets["val"]))


def frozen_by_acclimate(arguments: argparse.Namespace, folder: Path) -> Timed:
    """The same rate, batches and epochs; the clock also counts the building of the model and a checkpoint of each epoch."""
    rates = ("optimizer.lr=0.001", "optimizer.weight_decay=0", "scheduler=constant")
    views = ("data.source_view=plain", f"trainer.max_epochs={arguments.epochs}", "+trainer.limit_val_batches=0")
    config = configuration(arguments, folder, *rates, *views)
    started = time.perf_counter()
    run = build(config)
    run.trainer.fit(run.method, run.data)
    seconds = time.perf_counter() - started
    run.trainer.limit_val_batches = 1.0
    accuracy = run.trainer.validate(run.method, run.data, verbose=False)[0]["source/val_accuracy"]
    return Timed(seconds, accuracy)


def frozen(arguments: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    backbone = build(configuration(arguments, folder)).method.classifier.backbone
    found: dict[str, list[float]] = {"first job": [], "second job": [], "accuracy, tutorial": [], "accuracy, acclimate": []}
    for _ in range(arguments.rounds):
        cache_folder.clear()
        tutorial = frozen_by_tutorial(arguments, backbone)
        for name in ("first job", "second job"):
            ours = frozen_by_acclimate(arguments, folder)
            found[name].append(tutorial.seconds / ours.seconds)
        found["accuracy, tutorial"].append(tutorial.accuracy)
        found["accuracy, acclimate"].append(ours.accuracy)
    return found


def pipeline(arguments: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """The batches alone, in the first epoch and the second; ours are uint8, which the model turns into numbers."""
    found: dict[str, list[float]] = {"epoch 1": [], "epoch 2": []}
    root, half = arguments.images / "train", torch.full((3,), 0.5)
    for _ in range(arguments.rounds):
        cache_folder.clear()
        started = time.perf_counter()
        theirs = DataLoader(
            datasets.ImageFolder(root, to_floats(arguments.view, half, half)),
            BATCH_SIZE,
            shuffle=True,
            num_workers=arguments.workers,
            persistent_workers=arguments.workers > 0,
        )
        their_rates = [rate(theirs, started), rate(theirs, time.perf_counter())]
        started = time.perf_counter()
        # All images but one or two of each class train; what is looked at and decoded before the first batch counts.
        data = ImageFolder(
            source=str(root),
            cache="disk",
            val_fraction=0.01,
            test_fraction=0.01,
            source_view=arguments.view,
            batch_size=BATCH_SIZE,
            num_workers=arguments.workers,
        )
        data.prepare_for(image_size=SIZE, needs_target=False, reveal_target_labels=False)
        ours = data.train_dataloader()
        our_rates = [rate(ours, started), rate(ours, time.perf_counter())]
        for values, our, their in zip(found.values(), our_rates, their_rates, strict=True):
            values.append(our / their)
    return found


def rate(loader: Iterable, started: float) -> float:
    """Images per second of an epoch since a time."""
    seen = sum(len(batch.source.images if isinstance(batch, DomainBatch) else batch[0]) for batch in loader)
    return seen / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("frozen", "pipeline"))
    parser.add_argument("--images", type=Path, help="a folder with train/ and val/")
    parser.add_argument("--num-images", type=int, default=96, help="how many to make up without --images")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--random-weights", action="store_true", help="where the model's own cannot be had")
    parser.add_argument("--view", choices=("plain", "crop_flip"), default="plain")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also writes the ratios here")
    arguments = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        # Not the user's cache, which is not to be cleared.
        os.environ["ACCLIMATE_CACHE"] = f"{folder}/cache"
        if arguments.images is None:
            arguments.images = Path(folder) / "photographs"
            make_up_photographs(arguments.images, num_images=arguments.num_images)
        found = {"frozen": frozen, "pipeline": pipeline}[arguments.what](arguments, Path(folder) / "run")
    title = f"{arguments.what}: tutorial ÷ acclimate, {arguments.rounds} rounds"
    table = Table(title=title, title_justify="left")
    for heading in ("", "median", "lowest", "highest"):
        table.add_column(heading)
    for name, values in found.items():
        table.add_row(name, *(f"{number:.2f}" for number in (statistics.median(values), min(values), max(values))))
    Console().print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
