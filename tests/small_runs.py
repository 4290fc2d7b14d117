"""Runs that take a fraction of a second: generated images, a tiny network and configurations composed as users do."""

import copy
import functools
import math
import os
import signal
import tempfile
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import hydra
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from pytorch_lightning.callbacks import Callback

from acclimate.config.compose import resolve
from acclimate.config.groups import conf_dir, group_options
from acclimate.config.instantiate import locate
from acclimate.config.method_options import declared_needs
from acclimate.data.domains import Domains, Parts
from acclimate.data.images.arrays import Archive as ImageArchive
from acclimate.data.images.arrays import Arrays, read_archive
from acclimate.data.samples import Samples
from acclimate.errors import ConfigError, Interrupted
from acclimate.extras.extra import Step
from acclimate.methods.base import Method
from acclimate.methods.shot import Shot
from acclimate.models.backbones.image import ImageBackbone
from acclimate.models.backbones.mlp import VectorBackbone, mlp
from acclimate.models.backbones.small_cnn import small_cnn
from acclimate.training import assembly, run
from acclimate.types import DomainBatch

METHODS = group_options("method")
NUM_CLASSES = 3
IMAGE_SIZE = 16
Archive = dict[str, np.ndarray]


def rotating_blobs(num_images: int, *, degrees: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of a bright spot on a circle, one place for each class, and their labels.

    Args:
        num_images: Classes are as equally frequent as they can be.
        degrees: Turns all places on the circle; 120 turns every class into the next one.
        seed: Governs the noise.

    Returns:
        uint8, shape (N, 16, 16), and int64, shape (N,).
    """
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(num_images) % NUM_CLASSES)
    angles = np.deg2rad(degrees + 360 / NUM_CLASSES * labels + random.normal(0, 10, num_images))
    radius = 5 + random.normal(0, 0.3, num_images)
    middle = (IMAGE_SIZE - 1) / 2
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
    x, y = middle + radius * np.cos(angles), middle + radius * np.sin(angles)
    distance = (columns - x[:, None, None]) ** 2 + (rows - y[:, None, None]) ** 2
    images = 200 * np.exp(-distance / (2 * 2.0**2)) + random.normal(20, 8, distance.shape)
    return images.clip(0, 255).astype(np.uint8), labels.astype(np.int64)


def shifted_domains(*, num_source: int, num_target: int, num_test: int, degrees: float) -> tuple[Archive, Archive]:
    """The arrays of a source and of a target that is turned against it."""
    archives = []
    for number, (num_train, turned) in enumerate([(num_source, 0.0), (num_target, degrees)]):
        x_train, y_train = rotating_blobs(num_train, degrees=turned, seed=2 * number)
        x_test, y_test = rotating_blobs(num_test, degrees=turned, seed=2 * number + 1)
        archives.append({"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test})
    return archives[0], archives[1]


def write_archives(folder: Path, *, num_source: int = 23, num_target: int = 17, num_test: int = 12, degrees: float = 45.0) -> list[str]:
    """Write both domains and return the options that name them: 5 batches of 4 source and 3 target images go through the source once."""
    source, target = shifted_domains(num_source=num_source, num_target=num_target, num_test=num_test, degrees=degrees)
    np.savez(folder / "source.npz", **source)
    np.savez(folder / "target.npz", **target)
    return ["data=arrays", f"data.source={folder / 'source.npz'}", f"data.target={folder / 'target.npz'}"]


def rotating_clouds(num_rows: int, *, degrees: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of two numbers around a place on a circle for each class, and two numbers of noise; and their labels.

    Args:
        num_rows: Classes are as equally frequent as they can be.
        degrees: Turns all places on the circle; 120 turns every class into the next one.
        seed: Governs the noise.

    Returns:
        float64, shape (N, 4), and int64, shape (N,).
    """
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(num_rows) % NUM_CLASSES)
    angles = np.deg2rad(degrees + 360 / NUM_CLASSES * labels)
    places = np.stack([30 * np.cos(angles), 5 + np.sin(angles)], axis=1)
    return np.concatenate([places, np.zeros_like(places)], axis=1) + random.normal(0, (6, 0.2, 1, 1), (num_rows, 4)), labels


def write_tables(folder: Path, *, num_source: int = 33, num_target: int = 27, degrees: float = 45.0) -> list[str]:
    """Write a table for each domain and return the options of `data=vectors` that name them: 20 and 17 rows or so train."""
    for number, (name, num_rows, turned) in enumerate([("source", num_source, 0.0), ("target", num_target, degrees)]):
        values, labels = rotating_clouds(num_rows, degrees=turned, seed=number)
        rows = [",".join([*(f"{value:.6f}" for value in row), PHOTOGRAPHED[label]]) for row, label in zip(values, labels, strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(["heat,load,hum,sway,label", *rows, ""]))
    return ["data=vectors", f"data.source={folder / 'source.csv'}", f"data.target={folder / 'target.csv'}"]


def write_test_images(archives: list[str], folder: Path) -> np.ndarray:
    """Write the target's test images of archives to a folder, named in their order, and return their labels."""
    with np.load(next(text for text in archives if text.startswith("data.target=")).partition("=")[2]) as target:
        for number, image in enumerate(target["x_test"]):
            Image.fromarray(image).save(folder / f"{number:03}.png")
        return target["y_test"]


PHOTOGRAPHED = ("ant", "bee", "owl")


def write_photographs(root: Path, *, seed: int = 0, number: int = 12) -> None:
    """Write so many images of each of three classes into class folders: noise with a third that is brighter."""
    random = np.random.default_rng(seed)
    for label, name in enumerate(PHOTOGRAPHED):
        (root / name).mkdir(parents=True)
        for place in range(number):
            pixels = random.integers(0, 128, (18, 18, 3), dtype=np.uint8)
            pixels[6 * label : 6 * label + 6] += 100
            Image.fromarray(pixels).save(root / name / f"{place}.png")


SMALL_OF_ANY_KIND = (
    "data.batch_size=4",
    "data.target_batch_size=3",
    "data.epoch=source",
    "data.eval_batch_size=8",
    "model.bottleneck=8",
    "logger=none",
    "callbacks.pictures=null",
    "callbacks.progress_bar=null",
    "trainer=cpu",
    "+trainer.enable_progress_bar=false",
)
SMALL = (f"data.image_size={IMAGE_SIZE}", "model.backbone.width=4", *SMALL_OF_ANY_KIND)
SMALL_VECTORS = ("model.backbone.widths=[12]", *SMALL_OF_ANY_KIND)

# For runs of some hundred inputs that are long enough to adapt.
ADAPTS = (
    "data.batch_size=32",
    "data.target_batch_size=32",
    "data.eval_batch_size=256",
    "model.bottleneck=16",
    "optimizer.lr=0.003",
    "trainer.max_epochs=15",
    "trainer.check_val_every_n_epoch=5",
)


def compose(folder: Path, *overrides: str) -> dict[str, Any]:
    """A plain configuration of a small run that writes to a folder; later overrides win.

    A method without source starts from the same run with `source_only`, unless it is told to start elsewhere; one that needs
    the head of a pretrained model gets a model that claims to be one.
    """
    config = _composed(overrides, str(folder))
    needs = declared_needs(config["method"])
    if needs.pretrained_head and config["model"]["weights"] is None:
        config["model"]["weights"] = True
        config["model"]["backbone"]["_target_"] = f"small_runs.pretrained_{'mlp' if 'vectors' in config['data']['_target_'] else 'cnn'}"
    if config["init_from"] is None and needs.source == "none":
        config["init_from"] = _trained_on_the_source(*(text for text in overrides if not text.lstrip("+").startswith("method")))
    return config


def headless_cnn(weights: bool | None, **size: int) -> ImageBackbone:
    """A small CNN that claims to have weights, but knows no head."""
    return small_cnn(**size)


def pretrained_cnn(weights: bool | None, **size: int) -> ImageBackbone:
    """A small CNN with a head of 7 classes that are told to be those that it was trained on."""
    backbone = headless_cnn(weights, **size)
    backbone.make_source_head = lambda: torch.nn.Linear(backbone.num_features, 7)
    return backbone


def pretrained_mlp(weights: bool | None, **settings: Any) -> VectorBackbone:
    """The same for vectors."""
    backbone = mlp(**settings)
    backbone.make_source_head = lambda: torch.nn.Linear(backbone.num_features, 7)
    return backbone


def oddly_headed_cnn(weights: bool | None, **size: int) -> ImageBackbone:
    """A small CNN whose head is not a layer on its features."""

    def refuse() -> torch.nn.Linear:
        raise ConfigError("The head is not linear.")

    backbone = headless_cnn(weights, **size)
    backbone.make_source_head = refuse
    return backbone


@functools.cache
def _trained_on_the_source(*overrides: str) -> str:
    folder = Path(_folder_of_source_runs().name) / str(_trained_on_the_source.cache_info().currsize)
    run.train(compose(folder, *overrides, "method=source_only"))
    return str(folder)


@functools.cache
def _folder_of_source_runs() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory()


def _composed(overrides: tuple[str, ...], folder: str) -> dict[str, Any]:
    groups = tuple(text for text in overrides if (conf_dir() / text.split("=")[0]).is_dir())
    keys = [text for text in overrides if text not in groups]
    config = copy.deepcopy(_composed_groups(groups))
    # What Hydra does with these once it has composed the groups, which takes most of its time.
    for override in OverridesParser.create().parse_overrides([*(f"++{text.lstrip('+')}" for text in keys), f"folder={folder}"]):
        OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
    return resolve(config)


@functools.cache
def _composed_groups(groups: tuple[str, ...]) -> DictConfig:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("train", [*groups, *(SMALL_VECTORS if "data=vectors" in groups else SMALL)])


def build_method(config: dict[str, Any]) -> tuple[assembly.Run, Any]:
    """A built run without training, and its first training batch, with the method half way through."""
    parts = assembly.build(config)
    parts.data.trainer = None
    method = parts.method.train()
    method.total_batches, method.batches_done = 10, 5
    method.log = method.log_dict = lambda *arguments, **keywords: None
    if isinstance(method, Shot):
        method.label(parts.data.training_parts().unlabelled_target())
    batch = next(iter(parts.data.train_dataloader()))
    return parts, batch


class StopAt(Callback):
    """Sends the signal of Ctrl-C at the named hook once so many batches are trained.

    Args:
        hook: on_train_batch_start, on_train_batch_end, on_validation_start or on_validation_end.
        batches: How many batches must have been trained.
    """

    def __init__(self, hook: str, *, batches: int) -> None:
        self.batches = batches
        setattr(self, hook, self._stop)

    def _stop(self, trainer: pl.Trainer, method: Any, *rest: Any) -> None:
        if trainer.state.fn == "fit" and method.batches_done == self.batches:
            os.kill(os.getpid(), signal.SIGINT)


class PowerFailure(Callback):
    """Callback that ends everything at once, without a chance to save.

    Args:
        batches: How many batches must have been trained.
    """

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_start(self, trainer: pl.Trainer, method: Any, batch: Any, number: int) -> None:
        if method.batches_done == self.batches:
            raise RuntimeError("The power went out.")


class RateHistory(Callback):
    """Callback that writes the learning rate that each step is taken with to a file.

    Args:
        file: A line for each step.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_start(self, trainer: pl.Trainer, method: Any, batch: Any, number: int) -> None:
        with self.file.open("a") as file:
            file.write(f"{trainer.optimizers[0].param_groups[0]['lr']!r}\n")


class ValidationHistory(Callback):
    """Callback that writes the step and the selection's value of every validation to a file.

    Args:
        file: A resumed run adds to it.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_validation_end(self, trainer: pl.Trainer, method: Any) -> None:
        if trainer.state.fn == "fit":
            with self.file.open("a") as file:
                file.write(f"{trainer.global_step} {float(trainer.callback_metrics['selection/value'])!r}\n")


def train_and_stop(config: dict[str, Any], *, hook: str, batches: int) -> None:
    """Train until Ctrl-C arrives."""
    stop = {"_target_": "small_runs.StopAt", "hook": hook, "batches": batches}
    run.train({**config, "callbacks": {"stop": stop, **config["callbacks"]}})


def assert_stop_changes_nothing(folder: Path, *overrides: str, batches: int) -> dict[str, Any]:
    """Check that a run that is stopped and resumed ends in the same state as an uninterrupted one, and return that state."""
    run.train(compose(folder / "whole", *overrides))
    config = compose(folder / "stopped", *overrides)
    with pytest.raises(Interrupted):
        train_and_stop(config, hook="on_train_batch_end", batches=batches)
    run.train({**config, "resume": True})
    whole = trained_state(folder / "whole")
    assert differences(whole, trained_state(folder / "stopped")) == []
    return whole


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """Yield the places where two nested containers of tensors and numbers are not exactly equal."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return [] if first.dtype == second.dtype and torch.equal(first, second) else [path]
    if isinstance(first, dict) and isinstance(second, dict):
        keys = [*first, *(key for key in second if key not in first)]
        return [found for key in keys for found in differences(first.get(key), second.get(key), f"{path}.{key}")]
    if isinstance(first, list | tuple) and isinstance(second, list | tuple) and len(first) == len(second):
        return [found for place, pair in enumerate(zip(first, second, strict=True)) for found in differences(*pair, f"{path}[{place}]")]
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first) and math.isnan(second):
        return []
    return [] if type(first) is type(second) and first == second else [f"{path}: {first} != {second}"]


TRAINED = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "batches_done")


def trained_state(folder: Path, checkpoint: str = "last.ckpt") -> dict[str, Any]:
    """Return the parts of a checkpoint that result from training."""
    contents = torch.load(folder / "checkpoints" / checkpoint, weights_only=True)
    return {key: contents[key] for key in TRAINED}


def with_value(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of a plain configuration with something else in one place, which dots lead to and which need not have been there."""
    config = copy.deepcopy(config)
    node = config
    *names, last = path.split(".")
    for name in names:
        if not isinstance(node.get(name), dict):
            node[name] = {}
        node = node[name]
    node[last] = value
    return config


class Tampered(Arrays):
    """Arrays whose labels of the target's training and validation parts are changed before anything looks at them.

    Args:
        tamper: What happens to the labels; `permute` also puts the images in another order.
        of_source: Whether it happens to the source's as well, once its classes are known.
        **loading: What `Arrays` takes.
    """

    def __init__(self, *, tamper: Literal["nothing", "permute", "replace", "remove"], of_source: bool = False, **loading: Any) -> None:
        super().__init__(**loading)
        self.tamper = tamper
        self.of_source = of_source

    def read(self) -> Domains:
        domains = super().read()
        if not self.of_source:
            return domains
        assert domains.source is not None
        return domains._replace(source=Parts(*(images and self.tampered(images) for images in domains.source)))

    def read_target(self, classes: list[str]) -> Parts | None:
        def read_tampered(path: Path, **settings: Any) -> ImageArchive:
            archive = read_archive(path, **settings)
            train = archive.parts["train"]
            if self.tamper == "permute":
                train = train.take(torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).tolist())
            return archive._replace(parts={**archive.parts, "train": self.tampered(train)})

        with mock.patch("acclimate.data.images.arrays.read_archive", read_tampered):
            return super().read_target(classes)

    def tampered(self, images: Samples) -> Samples:
        assert images.labels is not None
        changes: dict[str, torch.Tensor | None] = {
            "nothing": images.labels,
            "permute": images.labels.roll(1),
            "replace": torch.zeros_like(images.labels),
            "remove": None,
        }
        return images.with_labels(changes[self.tamper])


class TamperedBesideLabelled(Tampered):
    """The same, but for the labels of the images that may train; or the first of these alone is changed.

    Args:
        tamper: What happens to all other labels of the target's training and validation parts, or `lent`.
        **loading: What `Arrays` takes.
    """

    def __init__(self, *, tamper: Literal["nothing", "permute", "replace", "lent"], **loading: Any) -> None:
        super().__init__(tamper="nothing" if tamper == "lent" else tamper, **loading)
        self.changes_lent = tamper == "lent"
        # Which these are depends on the labels as they were.
        original = Arrays(**loading)
        self.labelled_target = original.labelled_target
        assert original.domains.target is not None
        self.lent = original.domains.target.train.take(self.labelled_target).digests()

    def tampered(self, images: Samples) -> Samples:
        digests, changed = images.digests(), super().tampered(images).labels
        assert digests is not None and self.lent is not None and images.labels is not None and changed is not None
        labels = torch.where(torch.isin(digests, self.lent), images.labels, changed)
        if self.changes_lent:
            first = digests == self.lent[0]
            labels[first] = (labels[first] + 1) % NUM_CLASSES
        return images.with_labels(labels)


# Composed with the groups that most tests ask for.
_CLASSES: dict[str, Any] = {name: locate(_composed_groups(("data=arrays", f"method={name}")).method._target_) for name in METHODS}
# They train features for another method.
SELF_SUPERVISED = [name for name, method in _CLASSES.items() if method.needs.is_self_supervised]
# They train a classifier for the target.
ADAPTING = [name for name, method in _CLASSES.items() if method.needs.target and not method.needs.is_self_supervised]
SOURCE_FREE = [name for name, method in _CLASSES.items() if method.needs.source == "none"]


def losses_by_name(method: Method, batch: DomainBatch) -> dict[str, torch.Tensor]:
    """Return the losses that training minimises the sum of."""
    source, target, _ = method.passes(batch)
    # Without the extra steps of those that alternate.
    losses = Method.losses(method, source, target)
    return losses if target is None else losses | method.extras.losses(Step(source, target, method.classifier, method.progress))
