"""The parts of a run as its configuration describes them, before they are built."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from acclimate.config.instantiate import Component
from acclimate.config.method_options import divide_options
from acclimate.config.paths import with_absolute_paths
from acclimate.config.untrusted import trusted_by
from acclimate.errors import ConfigError
from acclimate.training.profiler import NoProfiler
from acclimate.types import Needs

Config = dict[str, Any]

NO_LOGGER: Config = {}


class Parts(NamedTuple):
    """The settings and the components of a run.

    Attributes:
        config: The configuration as it is recorded, with absolute paths.
        init_from: Run or checkpoint to start from.
        trust: Targets that the author of the configuration trusts.
        needs: Needs declared by the method.
        extras: The options of any method, see `divide_options`.
        compiles: Whether the classifier is compiled.
        on_nonfinite: The mode of `NonFinite`.
    """

    config: Config
    folder: Path
    seed: int
    init_from: str | None
    trust: set[str]
    needs: Needs
    data: Component
    selection: Component
    model: Component
    method: Component
    extras: Component
    optimizer: Component
    scheduler: Component
    callbacks: list[Component]
    loggers: list[Component]
    trainer: Component
    compiles: bool
    on_nonfinite: Literal["stop", "skip"]


def take_apart(config: Mapping[str, Any]) -> Parts:
    """Divide a configuration into its parts; nothing is built.

    Args:
        config: A configuration that `check_config` accepts.

    Raises:
        ConfigError: If the classifier is to be compiled, and there is no C++ compiler.
    """
    trainer = _complete(config["trainer"])
    compiles, on_nonfinite = trainer.pop("compile", False), trainer.pop("on_nonfinite", "stop")
    if compiles:
        require_compiler()
    if config.get("verbosity") == "quiet":
        trainer["enable_progress_bar"] = False
    optimizer = _clippable(config["optimizer"], trainer)
    callbacks = [node for node in _named(config["callbacks"]) if not _is_hidden(node, trainer)]
    loggers = _named(config["logger"])
    method = divide_options(config["method"])
    return Parts(
        config=with_absolute_paths(config),
        folder=Path(config["folder"]),
        seed=config["seed"],
        init_from=config["init_from"],
        trust=trusted_by(config),
        needs=method.needs,
        data=Component(config["data"]),
        selection=Component(config["selection"]),
        model=Component(config["model"]),
        method=Component(method.own),
        extras=Component(method.extras),
        optimizer=Component(optimizer),
        scheduler=Component(config["scheduler"]),
        callbacks=list(map(Component, callbacks)),
        loggers=list(map(Component, loggers)),
        trainer=Component(trainer),
        compiles=compiles,
        on_nonfinite=on_nonfinite,
    )


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


def usual_precision(accelerator: str | None) -> str:
    """Return the default precision: bfloat16 on GPUs that support it, where it is several times faster."""
    on_gpu = accelerator in ("auto", "gpu", "cuda", None) and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


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


def _clippable(optimizer: Mapping[str, Any], trainer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Disable the fused optimizer if gradients are clipped in mixed precision, a combination that Lightning rejects."""
    clips_scaled = trainer.get("gradient_clip_val") and "mixed" in str(trainer["precision"])
    return {**optimizer, "fused": False} if clips_scaled and optimizer.get("fused") else optimizer


def _named(nodes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the nodes of a group by name, without those left out with null; runs of earlier versions have a single logger."""
    return [nodes] if "_target_" in nodes else [node for node in nodes.values() if node is not None]


def _is_hidden(callback: Mapping[str, Any], trainer: Mapping[str, Any]) -> bool:
    """Return True for a progress bar if the trainer shows none, a combination that Lightning rejects."""
    return trainer.get("enable_progress_bar") is False and str(callback["_target_"]).endswith("ProgressBar")
