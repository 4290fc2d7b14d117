"""Construction of all parts of a run from its configuration."""

import logging
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import TorchCheckpointIO

from acclimate.config.instantiate import instantiate
from acclimate.config.method_options import divide_options
from acclimate.config.paths import with_absolute_paths
from acclimate.config.untrusted import trusted_by
from acclimate.data.datamodule import AdaptationData
from acclimate.data.kind import contents, kinds_made_by
from acclimate.data.leakage import Seen, refuse_leaks, seen_samples
from acclimate.errors import ConfigError
from acclimate.inputs import spec_after
from acclimate.memory import keep_freed_memory, model_name
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.runs.checkpoints import Checkpoint, kind_of, read_origin, restart
from acclimate.selection.checkpoint_selection import Selection
from acclimate.training.callbacks.accuracies import Accuracies
from acclimate.training.callbacks.adaptation import Adaptation
from acclimate.training.callbacks.health import Health
from acclimate.training.callbacks.nonfinite import NonFinite
from acclimate.training.callbacks.provenance import Provenance
from acclimate.training.callbacks.scores import Scores
from acclimate.training.callbacks.step_seed import StepSeed
from acclimate.training.callbacks.throughput import Throughput
from acclimate.training.callbacks.validation_log import ValidationLog
from acclimate.training.checkpoint_io import ReplacingCheckpointIO
from acclimate.training.compatibility import refuse_contradictions, refuse_same_domains
from acclimate.training.lightning_internals import leave_out_empty_hooks
from acclimate.training.logged_outputs import make_loggers
from acclimate.training.optional_outputs import make_loggers_optional
from acclimate.training.profiler import NoProfiler

Config = dict[str, Any]

NO_LOGGER: Config = {}


class Run(NamedTuple):
    """The parts of a run, each built once, and the name of its backbone."""

    model_name: str
    data: AdaptationData
    method: Method
    selection: Selection
    scores: Scores
    throughput: Throughput
    nonfinite: NonFinite
    trainer: pl.Trainer
    seen: Seen | None


def build(
    config: Config, checkpoint: Checkpoint | None = None, further: Sequence[Callback] = (), *, allow_seen: bool = True, trains: bool = True
) -> Run:
    """Build all parts of a run.

    Args:
        config: A configuration that `check_config` accepts.
        checkpoint: A checkpoint from `read_checkpoint` to start from; None: that of `init_from`, if any.
        further: Additional callbacks, called after those of every run.
        trains: Whether the run is trained, and not only evaluated.
        allow_seen: Whether the checkpoint may have been trained or selected on inputs of the validation and test parts.

    Raises:
        ConfigError: If the parts do not fit together.
        DataError: If the data are invalid.
    """
    settings = _complete(config["trainer"])
    compiles, on_nonfinite = settings.pop("compile", False), settings.pop("on_nonfinite", "stop")
    if config.get("verbosity") == "quiet":
        settings["enable_progress_bar"] = False
    optimizer = _clippable(config["optimizer"], settings)
    if compiles:
        require_compiler()
    pl.seed_everything(config["seed"], verbose=False)
    needs, own, options = divide_options(config["method"])

    selection: Selection = instantiate(config["selection"])
    data: AdaptationData = instantiate(config["data"])
    trust = trusted_by(config) | kinds_made_by(data.kind_for)
    checkpoint = checkpoint or read_origin(config["init_from"], needs, trust)
    if checkpoint is None:
        classifier: Classifier = instantiate(config["model"], num_classes=len(data.domains.classes), inputs=data.input_spec())
    else:
        kind = kind_of(checkpoint, trust)
        data.continue_from(kind)
        data.number_classes_as(checkpoint["classes"], may_lack=not trains)
        if needs.source == "none":
            data.leave_out_source(checkpoint["classes"])
        classifier = restart(checkpoint, config["model"], data.domains.classes, spec_after(data.input_spec(), kind.spec))
    method: Method = instantiate(
        own,
        classifier=classifier,
        optimizer=instantiate(optimizer),
        schedule=instantiate(config["scheduler"]),
        extras=instantiate(options, num_classes=len(data.domains.classes)),
    )
    refuse_contradictions(data, method, selection)
    if trains:
        refuse_same_domains(data, method)
    data.prepare_for(
        spec=classifier.backbone.inputs,
        needs=method.needs,
        reveal_target_labels=selection.is_oracle,
        frozen_backbone=classifier.backbone if classifier.frozen and method.needs.inputs == "any" else None,
    )
    if checkpoint is not None and not allow_seen:
        refuse_leaks(data.domains, checkpoint)
    method.data = data.training_parts()
    seen = seen_samples(data.domains, checkpoint, trains_on_target=method.needs.target or bool(data.labelled_target))
    if compiles:
        classifier.compile()

    accuracies, throughput, nonfinite = Accuracies(), Throughput(warms_up=compiles), NonFinite(on_nonfinite, config)
    scores = Scores(
        has_source=data.domains.source is not None,
        has_target=data.domains.target is not None,
        has_head=not method.needs.is_self_supervised,
    )
    shown = [node for node in config["callbacks"].values() if node is not None and not _is_hidden(node, settings)]
    callbacks: list[Callback] = [
        selection,
        accuracies,
        scores,
        Health(accuracies, scores),
        Adaptation(accuracies, scores, Path(config["folder"])),
        StepSeed(config["seed"]),
        Provenance(
            with_absolute_paths(config),
            classes=data.domains.classes,
            inputs=contents(data.kind),
            self_supervised=method.needs.is_self_supervised,
            seen=seen,
        ),
        *map(instantiate, shown),
        # After the callbacks that change the contents of a checkpoint.
        nonfinite,
        ValidationLog(),
        # After the callbacks that draw pictures before training.
        throughput,
        *further,
    ]
    trainer: pl.Trainer = instantiate(settings, callbacks=callbacks, logger=make_loggers(config["logger"]))
    _prepare(trainer)
    leave_out_empty_hooks(method, trainer.callbacks)  # type: ignore[attr-defined]
    return Run(model_name(config), data, method, selection, scores, throughput, nonfinite, trainer, seen)


def _complete(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the trainer with those that follow from others."""
    settings = dict(trainer)
    settings["precision"] = settings.get("precision") or usual_precision(settings.get("accelerator"))
    settings["profiler"] = settings.get("profiler") or NoProfiler()
    # Each process evaluates all inputs, because a division into whole batches would count some twice.
    settings["use_distributed_sampler"] = False
    if settings.get("max_steps", -1) > 0:
        settings["max_epochs"] = -1
    return settings


def _prepare(trainer: pl.Trainer) -> None:
    """Prepare a trainer for loggers that fail, for atomic checkpoints and, on a CPU, for fast steps."""
    make_loggers_optional(trainer)
    # Keep a plug-in of the user, for example for asynchronous checkpoints.
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = ReplacingCheckpointIO()
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
        if not torch.cuda.is_available():
            # Lightning sets it, but each step of Adam asks for a GPU, and torch would then search the disk for its driver.
            os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


def _is_hidden(callback: Mapping[str, Any], trainer: Mapping[str, Any]) -> bool:
    """Return True for a progress bar if the trainer shows none, a combination that Lightning rejects."""
    return trainer.get("enable_progress_bar") is False and str(callback["_target_"]).endswith("ProgressBar")


def usual_precision(accelerator: str | None) -> str:
    """Return the default precision: bfloat16 on GPUs that support it, where it is several times faster."""
    on_gpu = accelerator in ("auto", "gpu", "cuda", None) and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def _clippable(optimizer: Mapping[str, Any], trainer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Disable the fused optimizer if gradients are clipped in mixed precision, a combination that Lightning rejects."""
    clips_scaled = trainer.get("gradient_clip_val") and "mixed" in str(trainer["precision"])
    return {**optimizer, "fused": False} if clips_scaled and optimizer.get("fused") else optimizer


def require_compiler() -> None:
    """Look for the C++ compiler that torch needs to compile a classifier.

    Raises:
        ConfigError: If there is none.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise ConfigError(
            f"trainer.compile=true needs a C++ compiler, and there is no {compiler}. "
            "Install one, name yours (CXX=clang++), or leave the key out."
        )


def silence_known_advice() -> None:
    """Silence warnings of Lightning that appear in every run or do not apply to our loaders."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        "The '.*_dataloader' does not have many workers",
        "The number of training batches",
        "Found .* in eval mode at the start of training",
        "(?s)Checkpoint directory .* exists",
        # Intended in AdaBN.
        "`training_step` returned `None`",
        ".*configure_optimizers` returned `None`",
        "You are using `LearningRateMonitor` callback with models that have no learning rate schedulers",
        "`isinstance.treespec",
        # Each process evaluates all inputs.
        "It is recommended to use `self.log",
    ):
        warnings.filterwarnings("ignore", message=message)
