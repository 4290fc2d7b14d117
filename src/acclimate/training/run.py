"""Building, training and evaluating a run."""

import logging
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only

from acclimate.config.check import check_config, uses_several_devices
from acclimate.config.instantiate import explain_misconfiguration, instantiate
from acclimate.config.signatures import locate
from acclimate.data.datamodule import AdaptationData
from acclimate.data.leakage import Seen, count_seen, find_leaks, refuse_leaks, seen_by, seen_images, warn_if_unknown, warn_of_leaks
from acclimate.diagnostics.divergence import advice
from acclimate.diagnostics.negative_transfer import negative_transfer
from acclimate.errors import ConfigError, DivergenceError, Interrupted, StorageError, command
from acclimate.files.atomic_files import remove_unfinished, write_json, write_predictions
from acclimate.files.full_disk import name_full_disk
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.runs import checkpoint_files
from acclimate.runs.checkpoint_files import best_checkpoint, last_checkpoint
from acclimate.runs.checkpoints import (
    Checkpoint,
    read_checkpoint,
    read_origin,
    refuse_untrained_head,
    restart,
    trusted_by,
)
from acclimate.runs.record import has_record, read_metrics
from acclimate.selection.checkpoint_selection import Selection
from acclimate.selection.model_selection import PREDICTIONS
from acclimate.training.callbacks.accuracies import Accuracies
from acclimate.training.callbacks.health import Health
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint
from acclimate.training.callbacks.nonfinite import NonFinite
from acclimate.training.callbacks.provenance import Provenance
from acclimate.training.callbacks.scores import Scores
from acclimate.training.callbacks.step_seed import StepSeed
from acclimate.training.callbacks.throughput import Throughput
from acclimate.training.callbacks.validation_log import ValidationLog
from acclimate.training.checkpoint_io import ReplacingCheckpointIO
from acclimate.training.compatibility import refuse_contradictions, refuse_idle_training
from acclimate.training.loggers import log_final, without_loggers
from acclimate.training.memory import explain_out_of_memory, keep_freed_memory
from acclimate.training.resume import EPOCHS, STEPS, Changes, Resumption, accept_changes
from acclimate.training.start import Start
from acclimate.training.stop_signals import StopSignals

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
    nonfinite: NonFinite
    trainer: pl.Trainer
    seen: Seen | None


def build(config: Config, checkpoint: Checkpoint | None = None, further: Sequence[Callback] = (), *, allow_seen: bool = True) -> Run:
    """Instantiates a configuration.

    Args:
        config: Plain and fully resolved.
        checkpoint: Whose classifier it starts with, as `read_checkpoint` gives it; None takes that of `init_from`, if any.
        further: Callbacks beside those of every run, called after them.
        allow_seen: Whether the checkpoint may have seen images of the validation and test parts.

    Raises:
        ConfigError: With all that is wrong with the configuration.
        DataError: If the images are not what they must be.
    """
    check_config(config)
    settings = dict(config["trainer"])
    settings["precision"] = settings.get("precision") or usual_precision(settings.get("accelerator"))
    pl.seed_everything(config["seed"], verbose=False)
    selection: Selection = instantiate(config["selection"])
    checkpoint = checkpoint or read_origin(config["init_from"], trusted_by(config))
    data: AdaptationData = instantiate(config["data"])
    if not getattr(locate(config["method"]["_target_"]), "needs_source", True):
        if checkpoint is None:
            raise ConfigError("This method adapts a trained classifier without its source. Name the run that trained it: init_from=RUN.")
        refuse_untrained_head(checkpoint)
        data.leave_out_source(checkpoint["classes"])
    if config["init_from"] is not None and getattr(locate(config["method"]["_target_"]), "needs_source_head", False):
        raise ConfigError(
            "This method starts from the head that a pretrained model came with, which a run does not keep. "
            "Leave out init_from, or use method=fine_tune."
        )
    classes = data.domains.classes
    classifier = (
        instantiate(config["model"], num_classes=len(classes)) if checkpoint is None else restart(checkpoint, config["model"], classes)
    )
    method: Method = instantiate(
        config["method"],
        classifier=classifier,
        optimizer=instantiate(_clippable(config["optimizer"], settings)),
        schedule=instantiate(config["scheduler"]),
    )
    refuse_contradictions(data, method, selection)
    if checkpoint is not None and not allow_seen:
        refuse_leaks(data.domains, checkpoint)
    if uses_several_devices(settings) and not any(parameter.requires_grad for parameter in method.parameters()):
        raise ConfigError("This method trains no weight that several devices could share. Use trainer=gpu or trainer=cpu.")
    data.prepare_for(
        image_size=checkpoint["image_size"] if checkpoint else classifier.backbone.image_size,
        needs_target=method.needs_target,
        needs_strong_view=method.terms.need_strong_view,
        needs_pairs=method.needs_pairs,
        self_supervised=method.self_supervised,
        reveal_target_labels=selection.is_oracle,
        frozen_backbone=classifier.backbone if classifier.frozen and not method.needs_images else None,
    )
    seen = seen_images(data.domains, checkpoint, trains_on_target=method.needs_target or bool(data.labelled_target))
    scores = Scores(
        has_source=data.domains.source is not None,
        has_target=data.domains.target is not None,
        has_head=not method.self_supervised,
    )
    compiles = settings.pop("compile", False)
    if compiles:
        compile_classifier(classifier)
    accuracies, throughput = Accuracies(), Throughput(warms_up=compiles)
    nonfinite = NonFinite(settings.pop("on_nonfinite", "stop"), config)
    callbacks: list[Callback] = [
        selection,
        accuracies,
        scores,
        Health(accuracies, scores),
        StepSeed(config["seed"]),
        Provenance(config, classes=classes, image_size=data.image_size or 0, self_supervised=method.self_supervised, seen=seen),
        *(
            instantiate(callback)
            for callback in config["callbacks"].values()
            if callback is not None and not _is_hidden(callback, settings)
        ),
        # Behind those that change what a checkpoint holds.
        nonfinite,
        ValidationLog(),
        # Behind those that draw pictures before the training.
        throughput,
        *further,
    ]
    # Each process evaluates all images: with shares of whole batches some would count twice.
    settings["use_distributed_sampler"] = False
    if settings.get("max_steps", -1) > 0:
        settings["max_epochs"] = -1
    trainer: pl.Trainer = instantiate(settings, callbacks=callbacks, logger=instantiate(config["logger"]))
    # What a user brings, such as checkpoints that are written in the background, is left as it is.
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = ReplacingCheckpointIO()
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    return Run(data, method, selection, scores, throughput, nonfinite, trainer, seen)


def _is_hidden(callback: Mapping[str, Any], trainer: Mapping[str, Any]) -> bool:
    """Whether a callback is a progress bar and the trainer shows none; Lightning refuses to have the one without the other."""
    return trainer.get("enable_progress_bar") is False and str(callback["_target_"]).endswith("ProgressBar")


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


def train(config: Config, record: Callable[[], None] | None = None) -> dict[str, Any]:
    """Trains, selects a checkpoint and tests it.

    Args:
        config: Plain and fully resolved.
        record: Called in one process, once nothing speaks against the run, to keep in its folder what it was started with.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: For whatever the user can mend.
        Interrupted: When a signal stopped the run.
    """
    check_config(config)
    folder, here = Path(config["folder"]), Path.cwd()
    if folder.is_relative_to(here):
        # As one types it.
        folder = folder.relative_to(here)
    with claim(folder), StopSignals() as signals, explain_out_of_memory(config), explain_misconfiguration():
        try:
            with name_full_disk(folder):
                return _train(config, folder, record, signals)
        except (Exception, SystemExit, Interrupted) as error:
            again = command("train", f"resume={folder}")
            # A signal to all processes of a run also ends the workers of its loaders, for which these raise errors of their own.
            if signals.received is not None:
                if not has_record(folder):
                    Start(folder, config, record, {}, step=0).write()
                reached = error if isinstance(error, Interrupted) else Interrupted(signals.received)
                raise Interrupted(signals.received, f"{reached} Continue with: {again}") from error
            if isinstance(error, StorageError):
                saved = any(checkpoint_files.exists(file(folder)) for file in (last_checkpoint, best_checkpoint))
                raise StorageError(f"{error} Then {f'continue with: {again}' if saved else 'type the same command again'}") from error
            raise


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Inside, the folder belongs to this run, with all its processes.

    Raises:
        ConfigError: If another run is under way there.
    """
    if getattr(rank_zero_only, "rank", 0) != 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise ConfigError(f"A run is under way in {folder}. Wait for it, or choose another folder: hydra.run.dir=DIR.") from None


def _train(config: Config, folder: Path, record: Callable[[], None] | None, signals: StopSignals) -> dict[str, Any]:
    finished, last, best = folder / "metrics.json", last_checkpoint(folder), best_checkpoint(folder)
    changes: Changes = {}
    continues = config["resume"] and has_record(folder)
    if config["resume"]:
        changes = accept_changes(folder, config)
        config = {**config, "resume_with": []}
        if finished.exists() and not changes.keys() & {EPOCHS, STEPS}:
            log.info("%s is finished already.", folder)
            return read_metrics(folder)
    elif finished.exists() or checkpoint_files.exists(last) or checkpoint_files.exists(best):
        state = "a finished run" if finished.exists() else "a run that was stopped"
        raise ConfigError(f"{folder} holds {state}. Continue it with resume={folder}, or choose another folder: hydra.run.dir=DIR.")
    _silence_known_advice()
    progress = _read_progress(folder)
    start = Start(folder, config, record, changes, step=progress["global_step"] if progress else 0)
    run = build(config, progress, [Resumption(changes), start, LastCheckpoint(last, signals)])
    refuse_idle_training(run.data, run.method, run.trainer, best)
    if not continues:
        start.keep(run.trainer)
    leaks = find_leaks(run.data.domains, run.seen)
    warn_of_leaks(leaks)
    _fit(run, last)
    start.keep(run.trainer)
    signals.check()
    steps = run.trainer.global_step
    keeps_last = not checkpoint_files.exists(best)
    if keeps_last:
        _keep_last(run, best)
    checkpoint = read_checkpoint(best)
    with without_loggers(run.trainer):
        evaluated = _evaluate(run, checkpoint)
    metrics = {
        **evaluated,
        **count_seen(leaks),
        "selection/step": checkpoint["global_step"],
        "train/steps": steps,
        "train/skipped_steps": run.nonfinite.skipped,
        "train/seconds": run.throughput.seconds,
        "train/samples_per_second": run.throughput.samples / max(run.throughput.seconds, 1e-9),
        "seed": config["seed"],
    }
    _refuse_selection(metrics)
    if keeps_last and steps > 0:
        # The others are of the last step, too, but were not selected for that.
        metrics["selection/name"], metrics["selection/value"] = "last", float(steps)
    if config["trainer"].get("compile"):
        metrics["train/warm_up_seconds"] = run.throughput.warm_up_seconds
    log_final(run.trainer, config, metrics)
    signals.check()
    if run.trainer.is_global_zero:
        if run.scores.probabilities:
            write_predictions(folder / PREDICTIONS, torch.cat(run.scores.probabilities))
        write_json(folder / "metrics.json", metrics)
        if message := negative_transfer(folder, metrics):
            log.warning(message)
    return metrics


def _read_progress(folder: Path) -> Checkpoint | None:
    """Return the checkpoint that a run in this folder continues from, if there is one."""
    best, last = best_checkpoint(folder), last_checkpoint(folder)
    remove_unfinished(folder)
    if checkpoint_files.exists(best):
        # If it is damaged, say so now and not after the training.
        read_checkpoint(best)
    return read_checkpoint(last) if checkpoint_files.exists(last) else None


def _fit(run: Run, last: Path) -> None:
    """Trains, from the last checkpoint on if there is one."""
    try:
        run.trainer.fit(run.method, run.data, ckpt_path=str(last) if checkpoint_files.exists(last) else None, weights_only=True)
    except ValueError as error:
        # Only Lightning knows so early how many batches an epoch has.
        if "val_check_interval" not in str(error):
            raise
        raise ConfigError(
            f"trainer.val_check_interval={run.trainer.val_check_interval} is more than the {run.trainer.num_training_batches} batches of "
            "an epoch. Count batches of all epochs together with trainer.check_val_every_n_epoch=null."
        ) from error


def _keep_last(run: Run, best: Path) -> None:
    """Saves the weights of the last step where no callback has saved those of a validation.

    Raises:
        ConfigError: If there was no validation.
    """
    trainer = run.trainer
    if "selection/value" not in trainer.callback_metrics:
        raise ConfigError(
            f"The training ended before its first validation, after {trainer.global_step} steps, so there is no checkpoint to select. "
            "Train for longer (trainer.max_time, trainer.max_epochs, trainer.max_steps), or validate more often "
            "(trainer.val_check_interval, trainer.check_val_every_n_epoch)."
        )
    if trainer.global_step > 0:
        log.warning(
            "No callback has saved a checkpoint as %s, so the last weights are kept and not those that were selected. "
            "Leave callbacks.checkpoint as it is, or use selection=last.",
            best.name,
        )
    trainer.save_checkpoint(best)


def evaluate(config: Config, checkpoint: Checkpoint, *, allow_seen: bool = False) -> dict[str, Any]:
    """Tests a checkpoint.

    Args:
        config: The configuration from the checkpoint, perhaps with other data or another trainer.
        checkpoint: As `read_checkpoint` gives it.
        allow_seen: Whether it may be tested on images that trained or selected it. They are counted then.

    Returns:
        Accuracies and the selection's value, unless it is about a run's validations together.

    Raises:
        UserError: For whatever the user can mend, such as other classes than the model knows.
    """
    _silence_known_advice()
    changes: Config = {
        "init_from": None,
        "trust": [],
        "callbacks": {"progress_bar": {"_target_": "acclimate.training.callbacks.progress_bar.ProgressBar"}},
        "logger": NO_LOGGER,
        # Too little to do for a compiler to pay.
        "trainer": {**config["trainer"], "compile": False, "default_root_dir": None},
    }
    with explain_out_of_memory(config), explain_misconfiguration():
        run = build(config | changes, checkpoint, allow_seen=allow_seen)
        leaks = find_leaks(run.data.domains, seen_by(checkpoint))
        warn_of_leaks(leaks)
        warn_if_unknown(run.data.domains, checkpoint)
        metrics = _evaluate(run, checkpoint) | count_seen(leaks)
    if run.selection.score is not None and run.selection.score.memory():
        # It judges by the validations before this one, and there are none.
        del metrics["selection/value"]
    return metrics


def _evaluate(run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    """Accuracies and the selection's value of a checkpoint, on the validation and test parts of both domains."""
    run.method.load_state_dict(checkpoint["state_dict"])
    metrics: dict[str, Any] = {}
    metrics.update(run.trainer.validate(run.method, run.data, verbose=False)[0])
    _refuse_predictions(run, "validation")
    metrics["selection/name"] = run.selection.name
    if run.selection.score is None:
        # The last validation is the best, and its step says how late it was.
        metrics["selection/value"] = float(checkpoint["global_step"])
    if run.data.evaluated_domains("test"):
        for results in run.trainer.test(run.method, run.data, verbose=False):
            metrics.update(results)
        _refuse_predictions(run, "test")
    return metrics


def _refuse_predictions(run: Run, part: str) -> None:
    if not run.selection.finite:
        raise DivergenceError(
            f"Predictions for {part} images are not finite: the weights are too large, or the images hold such values. "
            f"{advice(run.nonfinite.config)}"
        )


def _refuse_selection(metrics: Mapping[str, Any]) -> None:
    if not math.isfinite(metrics["selection/value"]):
        raise DivergenceError(
            f"No validation gave a finite value of selection={metrics['selection/name']}, so there is no checkpoint to select. "
            "Use another selection, such as selection=last, or more validation images."
        )


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
        # For processes that evaluate shares of the images.
        "It is recommended to use `self.log",
    ):
        warnings.filterwarnings("ignore", message=message)
