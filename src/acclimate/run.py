"""Building, training and evaluating a run: the only place that instantiates."""

import json
import logging
import os
import pickle
import shutil
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from acclimate.callbacks.accuracies import Accuracies
from acclimate.callbacks.health import Health
from acclimate.callbacks.interruption import Interruption
from acclimate.callbacks.provenance import Provenance, describe_environment
from acclimate.callbacks.scores import Scores
from acclimate.callbacks.selection import Selection
from acclimate.callbacks.step_seed import StepSeed
from acclimate.callbacks.throughput import Throughput
from acclimate.callbacks.validation_log import ValidationLog
from acclimate.comparison import read_metrics
from acclimate.config import check_config, locate
from acclimate.data.datamodule import AdaptationData
from acclimate.data.image_files import ImageFiles, find_files, keep_whole_images
from acclimate.data.loader import EvaluationBatches
from acclimate.data.views import View, shorter_side
from acclimate.errors import ConfigError, DataError, UserError
from acclimate.memory import keep_freed_memory
from acclimate.methods.base import Method
from acclimate.negative_transfer import negative_transfer
from acclimate.nn.backbones import Backbone
from acclimate.nn.classifier import Classifier
from acclimate.nn.lora import merge_low_rank_updates
from acclimate.picks import PREDICTIONS
from acclimate.ranking import RankedBackbone, score_backbone
from acclimate.types import Prediction, Unlabelled

log = logging.getLogger(__name__)

Config = dict[str, Any]

NO_LOGGER = {"_target_": "pytorch_lightning.loggers.logger.DummyLogger"}


class Run(NamedTuple):
    """The parts of a run, each built once."""

    data: AdaptationData
    method: Method
    selection: Selection
    scores: Scores
    throughput: Throughput
    trainer: pl.Trainer


def best_checkpoint(folder: Path) -> Path:
    """The selected checkpoint of a run's folder."""
    return folder / "checkpoints" / "best.ckpt"


def last_checkpoint(folder: Path) -> Path:
    """The checkpoint that a stopped run continues from."""
    return folder / "checkpoints" / "last.ckpt"


def keep_last_checkpoint(folder: Path) -> ModelCheckpoint:
    """Saves `last.ckpt` after every validation: the one of most steps. `save_last` would save it only with a better one."""
    last = last_checkpoint(folder)
    return ModelCheckpoint(last.parent, last.stem, monitor="step", mode="max", enable_version_counter=False)


def build(config: Config, checkpoint: Config | None = None) -> Run:
    """Instantiates a configuration.

    Args:
        config: Plain and fully resolved.
        checkpoint: Whose classifier it starts with, as `read_checkpoint` gives it; None takes that of `init_from`, if any.

    Raises:
        ConfigError: With all that is wrong with the configuration.
        DataError: If the images are not what they must be.
    """
    check_config(config)
    settings = dict(config["trainer"])
    settings["precision"] = settings.get("precision") or usual_precision(settings.get("accelerator"))
    pl.seed_everything(config["seed"], verbose=False)
    selection: Selection = _instantiate(config["selection"])
    checkpoint = checkpoint or read_origin(config["init_from"])
    data: AdaptationData = _instantiate(config["data"])
    if not getattr(locate(config["method"]["_target_"]), "needs_source", True):
        if checkpoint is None:
            raise ConfigError("This method adapts a trained classifier without its source. Name the run that trained it: init_from=RUN.")
        _refuse_untrained_head(checkpoint)
        data.leave_out_source(checkpoint["classes"])
    if config["init_from"] is not None and getattr(locate(config["method"]["_target_"]), "needs_source_head", False):
        raise ConfigError(
            "This method starts from the head that a pretrained model came with, which a run does not keep. "
            "Leave out init_from, or use method=fine_tune."
        )
    classes = data.domains.classes
    classifier = (
        _instantiate(config["model"], num_classes=len(classes)) if checkpoint is None else _restart(checkpoint, config["model"], classes)
    )
    method: Method = _instantiate(
        config["method"],
        classifier=classifier,
        optimizer=_instantiate(_clippable(config["optimizer"], settings)),
        schedule=_instantiate(config["scheduler"]),
    )
    if method.self_supervised and selection.score is not None and selection.score.needs_head:
        raise ConfigError(
            "The selection looks at predictions, but this method trains no head that could make them. "
            "Use selection=last or selection=rankme."
        )
    if data.target_labels_per_class is not None and not method.takes_target_labels:
        raise ConfigError(
            f"data.target_labels_per_class={data.target_labels_per_class}, but this method trains without any labels. "
            "Leave the key null, or choose another method, such as method=shot."
        )
    if method.soft_labels.is_balanced and data.source_sampling == "balanced":
        raise ConfigError(
            "method.class_weights=balanced and data.source_sampling=balanced would both make up for rare classes. Choose one of them."
        )
    if selection.needs_target and data.domains.target is None:
        raise ConfigError(f"selection={selection.name} looks at target images, but data.target is null. Use selection=source_accuracy.")
    if data.domains.source is None and selection.score is not None and selection.score.needs_source:
        raise ConfigError(f"selection={selection.name} looks at source images, but this method is given none. Use selection=auto.")
    data.prepare_for(
        image_size=checkpoint["image_size"] if checkpoint else classifier.backbone.image_size,
        needs_target=method.needs_target,
        needs_strong_view=method.terms.need_strong_view,
        needs_pairs=method.needs_pairs,
        self_supervised=method.self_supervised,
        reveal_target_labels=selection.is_oracle,
        frozen_backbone=classifier.backbone if classifier.frozen and not method.needs_images else None,
    )
    scores = Scores(
        has_source=data.domains.source is not None,
        has_target=data.domains.target is not None,
        has_head=not method.self_supervised,
    )
    compiles = settings.pop("compile", False)
    if compiles:
        compile_classifier(classifier)
    accuracies, throughput = Accuracies(), Throughput(warms_up=compiles)
    callbacks: list[Callback] = [
        selection,
        accuracies,
        scores,
        Health(accuracies, scores),
        StepSeed(config["seed"]),
        Provenance(config, classes=classes, image_size=data.image_size or 0, self_supervised=method.self_supervised),
        *(_instantiate(callback) for callback in config["callbacks"].values() if callback is not None),
        ValidationLog(),
        # Behind those that draw pictures before the training.
        throughput,
        keep_last_checkpoint(Path(config["folder"])),
        Interruption(str(last_checkpoint(Path(config["folder"])))),
    ]
    if settings.get("max_steps", -1) > 0:
        settings["max_epochs"] = -1
    trainer: pl.Trainer = _instantiate(settings, callbacks=callbacks, logger=_instantiate(config["logger"]))
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    return Run(data, method, selection, scores, throughput, trainer)


def usual_precision(accelerator: str | None) -> str:
    """What training computes in if nothing is said: bfloat16 where a GPU has it, for it is several times as fast there."""
    on_gpu = accelerator in ("auto", "gpu", "cuda", None) and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def _clippable(optimizer: Mapping[str, Any], trainer: Mapping[str, Any]) -> Mapping[str, Any]:
    """In mixed precision Lightning clips no gradients of fused optimizers, which could be about to scale them."""
    clips_scaled = trainer.get("gradient_clip_val") and "mixed" in str(trainer["precision"])
    return {**optimizer, "fused": False} if clips_scaled and optimizer.get("fused") else optimizer


def compile_classifier(classifier: Classifier) -> None:
    """Has torch compile the passes through a classifier, each kind when it is first made.

    Raises:
        ConfigError: If there is no C++ compiler, which torch needs for that.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise ConfigError(
            f"trainer.compile=true needs a C++ compiler, and there is no {compiler}. "
            "Install one, name yours (CXX=clang++), or leave the key out."
        )
    classifier.compile()


def _instantiate(node: Mapping[str, Any], **provided: Any) -> Any:
    """Builds a node with Hydra, which gets plain containers and gives them on as such.

    Raises:
        ConfigError: If what is built refuses a value.
    """
    # Provided objects go past Hydra, which would look into them for configuration.
    try:
        build_it = instantiate({**node, "_partial_": True}, _convert_="all")
        # Hydra's own partial checks its target at every call, and a schedule is called in every step.
        return partial(build_it.func, *build_it.args, **build_it.keywords) if node.get("_partial_") else build_it(**provided)
    except (InstantiationException, ValueError, TypeError, MisconfigurationException) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ValueError | TypeError | MisconfigurationException):
            raise ConfigError(f"{node['_target_']} cannot be built: {cause}") from error
        raise


def train(config: Config) -> dict[str, Any]:
    """Trains, selects a checkpoint and tests it.

    Args:
        config: Plain and fully resolved.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: For whatever the user can mend.
        Interrupted: When the user stopped the run.
    """
    folder = Path(config["folder"])
    finished = folder / "metrics.json"
    if finished.exists() and config["resume"]:
        log.info("%s is finished already.", folder)
        return read_metrics(folder)
    last = last_checkpoint(folder)
    if not config["resume"] and (finished.exists() or last.exists()):
        state = "a finished run" if finished.exists() else "a run that was stopped"
        raise ConfigError(f"{folder} holds {state}. Continue it with resume={folder}, or choose another folder: hydra.run.dir=DIR.")
    _silence_known_advice()
    run = build(config, read_checkpoint(last) if last.exists() else None)
    write_json(folder / "environment.json", describe_environment(run.trainer))
    run.trainer.fit(run.method, run.data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    best = best_checkpoint(folder)
    if not best.exists():
        run.trainer.save_checkpoint(best)
    steps = run.trainer.global_step
    checkpoint = torch.load(best, map_location="cpu", weights_only=True)
    metrics = {
        **_evaluate(run, checkpoint),
        "selection/step": checkpoint["global_step"],
        "train/steps": steps,
        "train/seconds": run.throughput.seconds,
        "train/samples_per_second": run.throughput.samples / max(run.throughput.seconds, 1e-9),
        "seed": config["seed"],
    }
    if config["trainer"].get("compile"):
        metrics["train/warm_up_seconds"] = run.throughput.warm_up_seconds
    if isinstance(run.trainer.logger, TensorBoardLogger):
        numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
        run.trainer.logger.log_hyperparams(config, numbers)
        run.trainer.logger.save()
    if run.scores.probabilities:
        write_predictions(folder / PREDICTIONS, torch.cat(run.scores.probabilities))
    write_json(folder / "metrics.json", metrics)
    if run.trainer.is_global_zero and (message := negative_transfer(folder, metrics)):
        log.warning(message)
    return metrics


def evaluate(config: Config, checkpoint: Config) -> dict[str, Any]:
    """Tests a checkpoint.

    Args:
        config: The configuration from the checkpoint, perhaps with other data or another trainer.
        checkpoint: As `read_checkpoint` gives it.

    Returns:
        Accuracies and the selection's value.

    Raises:
        UserError: For whatever the user can mend, such as other classes than the model knows.
    """
    _silence_known_advice()
    changes = {
        "init_from": None,
        "callbacks": {"progress_bar": {"_target_": "acclimate.callbacks.progress_bar.ProgressBar"}},
        "logger": NO_LOGGER,
        # Too little to do for a compiler to pay.
        "trainer": {**config["trainer"], "compile": False},
    }
    return _evaluate(build(config | changes, checkpoint), checkpoint)


def _evaluate(run: Run, checkpoint: Config) -> dict[str, Any]:
    """Accuracies and the selection's value of a checkpoint, on the validation and test parts of both domains."""
    run.method.load_state_dict(checkpoint["state_dict"])
    metrics: dict[str, Any] = {}
    metrics.update(run.trainer.validate(run.method, run.data, verbose=False)[0])
    metrics["selection/name"] = run.selection.name
    if run.data.evaluated_domains("test"):
        for results in run.trainer.test(run.method, run.data, verbose=False):
            metrics.update(results)
    return metrics


class ImagePrediction(NamedTuple):
    """What the model says of one image; the confidence is the probability of the label, in [0, 1]."""

    image: str
    label: str
    confidence: float


def predict(checkpoint: Config, folder: Path) -> list[ImagePrediction]:
    """Labels for all images below a folder, in the order of their relative paths.

    Args:
        checkpoint: As `read_checkpoint` gives it.
        folder: Where the images are.

    Raises:
        DataError: If there are no images, or a file is not a whole image.
    """
    paths = find_files(folder)
    if not paths:
        raise DataError(f"There are no images in {folder}. Type images=DIR.")
    config = checkpoint["config"]
    image_size, crop = checkpoint["image_size"], config["data"]["crop"]
    whole = keep_whole_images(paths, config["data"].get("on_bad_image", "error"))
    images, view = ImageFiles(whole, None, shorter_side=shorter_side(image_size, crop)), View("plain", image_size=image_size, crop=crop)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier = rebuild_classifier(checkpoint).to(device)
    rows: list[tuple[float, int]] = []
    batches = EvaluationBatches(images, view, batch_size=config["data"]["eval_batch_size"], labelled=False)
    for number in range(len(batches)):
        batch = batches[number]
        assert isinstance(batch, Unlabelled)
        with torch.inference_mode():
            prediction: Prediction = classifier(batch.views[0].to(device))
        confidences, labels = prediction.logits.softmax(dim=1).max(dim=1)
        rows += zip(confidences.tolist(), labels.tolist(), strict=True)
    return [
        ImagePrediction(path.relative_to(folder).as_posix(), checkpoint["classes"][label], confidence)
        for path, (confidence, label) in zip(images.paths, rows, strict=True)
    ]


def rank(configs: Mapping[str, Config]) -> list[RankedBackbone]:
    """Scores backbones on the source's labelled training images without training them, best first.

    Args:
        configs: By name, plain and fully resolved; of each the data, the model and the seed count.

    Raises:
        UserError: For whatever the user can mend.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ranked = []
    for name, config in configs.items():
        check_config(config)
        pl.seed_everything(config["seed"], verbose=False)
        data: AdaptationData = _instantiate(config["data"])
        classifier: Classifier = _instantiate(config["model"], num_classes=len(data.domains.classes))
        backbone: Backbone = classifier.backbone
        make_head = backbone.make_source_head if classifier.pretrained else None
        data.prepare_for(image_size=backbone.image_size, needs_target=False, reveal_target_labels=False)
        view = View("plain", image_size=data.image_size or backbone.image_size, crop=data.crop)
        assert data.domains.source is not None
        images = EvaluationBatches(data.domains.source.train, view, batch_size=data.eval_batch_size, labelled=True)
        source_head = make_head().to(device) if make_head is not None else None
        ranked.append(score_backbone(name, backbone.to(device), images, device=device, source_head=source_head))
    return sorted(ranked, key=lambda backbone: backbone.logme, reverse=True)


def rebuild_classifier(checkpoint: Config) -> Classifier:
    """The trained classifier of a checkpoint, with merged updates of low rank, in evaluation mode; nothing but the checkpoint is needed.

    Raises:
        ConfigError: If it was trained without labels.
    """
    _refuse_untrained_head(checkpoint)
    return _restart(checkpoint, checkpoint["config"]["model"] | {"lora_rank": None}, checkpoint["classes"]).eval()


def _restart(checkpoint: Config, model: Mapping[str, Any], classes: list[str]) -> Classifier:
    """A classifier with the weights of a checkpoint; those that the model itself would start from are not fetched.

    After self-supervised training the head is a new one: no label has told the old one anything.
    It counts as pretrained if the model would have been without the checkpoint: training on puts no new layers on old ones,
    so there is no further reason for the backbone to be slower than the rest.

    Raises:
        ConfigError: If the checkpoint has other classes or another architecture.
    """
    if classes != checkpoint["classes"]:
        raise ConfigError(f"The data has the classes {', '.join(classes)}, but the model knows {', '.join(checkpoint['classes'])}.")
    classifier: Classifier = _instantiate({**model, "weights": None, "lora_rank": None}, num_classes=len(classes))
    classifier.pretrained = model.get("weights") not in (None, False)
    prefix = "classifier."
    tensors = {name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items() if name.startswith(prefix)}
    if checkpoint.get("self_supervised"):
        tensors |= {f"head.{name}": value for name, value in classifier.head.state_dict().items()}
    try:
        classifier.load_state_dict(merge_low_rank_updates(tensors))
    except RuntimeError as error:
        there, here = _settings(checkpoint["config"]["model"]), _settings(model)
        raise ConfigError(
            f"The checkpoint has another architecture than this run. There: {' '.join(sorted(there - here)) or 'the same settings'}. "
            f"Here: {' '.join(sorted(here - there)) or 'the same settings'}. Choose the model of the checkpoint."
        ) from error
    if model.get("lora_rank") is not None:
        classifier.add_low_rank_updates(model["lora_rank"])
    return classifier


def _refuse_untrained_head(checkpoint: Config) -> None:
    if checkpoint.get("self_supervised"):
        method = checkpoint["config"]["method"]["_target_"].rpartition(".")[2]
        raise ConfigError(f"{method} has trained features without labels, and no head. Train one first: method=dann init_from=RUN.")


def _settings(node: Mapping[str, Any], path: str = "model") -> set[str]:
    """What makes the architecture of a model, as one would type it."""
    settings = set()
    for key, value in node.items():
        if isinstance(value, Mapping):
            settings |= _settings(value, f"{path}.{key}")
        elif key not in ("weights", "dropout", "lora_rank", "freeze"):
            settings.add(f"{path}.{key}={'null' if value is None else value}")
    return settings


def read_origin(place: str | None) -> Config | None:
    """The checkpoint that `init_from` means: the selected one of a finished run's folder, or a file; None for null.

    Raises:
        ConfigError: If there is none, or the run is not finished.
    """
    if place is None:
        return None
    path = Path(place)
    if not path.exists():
        raise ConfigError(f"There is no {path}. Give the folder of a finished run or a checkpoint: init_from=outputs/DATE/TIME-METHOD.")
    if path.is_dir() and last_checkpoint(path).exists() and not (path / "metrics.json").exists():
        raise ConfigError(
            f"init_from={path} is not finished, so its checkpoint is not chosen yet. Type acclimate train resume={path} first."
        )
    return read_checkpoint(best_checkpoint(path) if path.is_dir() else path)


def read_checkpoint(path: Path) -> Config:
    """A checkpoint that a run has written.

    Raises:
        ConfigError: If there is none, or the file is something else.
    """
    if not path.is_file():
        raise ConfigError(f"There is no {path}. Give the folder of a finished run: outputs/DATE/TIME-METHOD.")
    try:
        checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from error
    if not isinstance(checkpoint, Mapping) or "config" not in checkpoint:
        raise ConfigError(f"{path} was not written by acclimate train: it holds no configuration.")
    return dict(checkpoint)


def write_json(path: Path, contents: Mapping[str, Any]) -> None:
    """Writes a file that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(contents, indent=2) + "\n")
    unfinished.replace(path)


def write_predictions(path: Path, probabilities: Tensor) -> None:
    """Probabilities of the classes, shape (N, K), for the target's validation images in their order; for ensembles of runs."""
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez_compressed(unfinished, probabilities=probabilities.numpy())
    unfinished.replace(path)


def _silence_known_advice() -> None:
    """Hides what Lightning says in every run, and its advice that does not apply to our loaders."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        "The '.*_dataloader' does not have many workers",
        "The number of training batches",
        "Found .* in eval mode at the start of training",
        "Checkpoint directory .* exists",
        # So does AdaBN, on purpose.
        "`training_step` returned `None`",
        ".*configure_optimizers` returned `None`",
        "You are using `LearningRateMonitor` callback with models that have no learning rate schedulers",
        "`isinstance.treespec",
    ):
        warnings.filterwarnings("ignore", message=message)
