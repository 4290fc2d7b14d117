"""Construction of a run from its parts."""

import logging
import os
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO

from acclimate.data.datamodule import AdaptationData
from acclimate.data.kind import contents, kinds_made_by
from acclimate.data.leakage import Seen, refuse_leaks, seen_samples
from acclimate.inputs import spec_after
from acclimate.memory import keep_freed_memory
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
from acclimate.training.lightning_internals import leave_out_empty_hooks, shorten_steps
from acclimate.training.optional_outputs import make_loggers_optional
from acclimate.training.parts import Config, RunParts


class Run(NamedTuple):
    """A run with its recorded configuration, and its components, each built once."""

    config: Config
    data: AdaptationData
    method: Method
    selection: Selection
    scores: Scores
    health: Health
    throughput: Throughput
    nonfinite: NonFinite
    trainer: pl.Trainer
    seen: Seen | None


def build(
    config: Config, checkpoint: Checkpoint | None = None, further: Sequence[Callback] = (), *, allow_seen: bool = True, trains: bool = True
) -> Run:
    """Build the components of a run.

    Args:
        config: A configuration that `check_config` accepts.
        checkpoint: A checkpoint from `read_checkpoint` to start from; None: that of `init_from`, if any.
        further: Additional callbacks, called after those of every run.
        trains: Whether the run is trained, and not only evaluated.
        allow_seen: Whether the checkpoint may have been trained or selected on inputs of the validation and test parts.

    Raises:
        ConfigError: If the components do not fit together.
        DataError: If the data are invalid.
    """
    parts = RunParts(config)
    pl.seed_everything(parts.seed, verbose=False)
    selection: Selection = parts.selection()
    data: AdaptationData = parts.data()
    trust = parts.trust | kinds_made_by(data.kind_for)
    checkpoint = checkpoint or read_origin(parts.init_from, parts.needs, trust)
    if checkpoint is None:
        classifier: Classifier = parts.model(num_classes=len(data.domains.classes), inputs=data.input_spec())
    else:
        kind = kind_of(checkpoint, trust)
        data.continue_from(kind, checkpoint["classes"], may_lack=not trains, without_source=parts.needs.source == "none")
        classifier = restart(checkpoint, parts.model, data.domains.classes, spec_after(data.input_spec(), kind.spec))
    method: Method = parts.method(
        classifier=classifier,
        optimizer=parts.optimizer(),
        schedule=parts.scheduler(),
        extras=parts.extras(num_classes=len(data.domains.classes)),
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
    if parts.compiles:
        classifier.compile()

    accuracies, throughput, nonfinite = Accuracies(), Throughput(warms_up=parts.compiles), NonFinite(parts.on_nonfinite, parts.config)
    scores = Scores(
        has_source=data.domains.source is not None,
        has_target=data.domains.target is not None,
        has_head=not method.needs.is_self_supervised,
    )
    adaptation = Adaptation(accuracies, scores, parts.folder)
    health = Health(accuracies, scores, adaptation)
    callbacks: list[Callback] = [
        selection,
        accuracies,
        scores,
        health,
        adaptation,
        StepSeed(parts.seed),
        Provenance(
            parts.config,
            classes=data.domains.classes,
            inputs=contents(data.kind),
            self_supervised=method.needs.is_self_supervised,
            seen=seen,
        ),
        *(callback() for callback in parts.callbacks),
        # After the callbacks that change the contents of a checkpoint.
        nonfinite,
        ValidationLog(),
        # After the callbacks that draw pictures of a validation.
        throughput,
        *further,
    ]
    # Callbacks of Lightning need a logger.
    loggers = [logger() for logger in parts.loggers] or [DummyLogger()]
    trainer: pl.Trainer = parts.trainer(callbacks=callbacks, logger=loggers)
    _prepare(trainer, method)
    leave_out_empty_hooks(method, trainer.callbacks)  # type: ignore[attr-defined]
    shorten_steps(trainer)
    return Run(parts.config, data, method, selection, scores, health, throughput, nonfinite, trainer, seen)


def _prepare(trainer: pl.Trainer, method: Method) -> None:
    """Prepare a trainer for loggers that fail, for atomic checkpoints and, on a CPU, for fast steps."""
    make_loggers_optional(trainer)
    # Keep a plug-in of the user, for example for asynchronous checkpoints.
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = ReplacingCheckpointIO(method.is_fixed)
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
        if not torch.cuda.is_available():
            # Lightning sets it, but each step of Adam asks for a GPU, and torch would then search the disk for its driver.
            os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


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
