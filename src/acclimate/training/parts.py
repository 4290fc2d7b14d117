"""The parts of a run as its configuration describes them, before they are built."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from acclimate.config.instantiate import Component
from acclimate.config.method_options import divide_options
from acclimate.config.paths import with_absolute_paths
from acclimate.config.untrusted import trusted_by
from acclimate.errors import ConfigError
from acclimate.training.profiler import NoProfiler

Config = dict[str, Any]

NO_LOGGER: Config = {}


class RunParts:
    """The settings and the components of a run, from its configuration; nothing is built.

    Args:
        config: A configuration that `check_config` accepts.

    Attributes:
        config: The configuration as it is recorded, with absolute paths.
        init_from: Run or checkpoint to start from.
        trust: Targets that the author of the configuration trusts.
        needs: Needs declared by the method.
        extras: The options of any method, see `divide_options`.
        compiles: Whether the classifier is compiled.
        on_nonfinite: The mode of `NonFinite`.

    Raises:
        ConfigError: If the classifier is to be compiled, and there is no C++ compiler.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        trainer = _complete(config["trainer"])
        self.compiles: bool = trainer.pop("compile", False)
        self.on_nonfinite: Literal["stop", "skip"] = trainer.pop("on_nonfinite", "stop")
        if self.compiles:
            require_compiler()
        if config.get("verbosity") == "quiet":
            trainer["enable_progress_bar"] = False
        optimizer = _clippable(config["optimizer"], trainer)
        callbacks = [node for node in _named(config["callbacks"]) if not _is_hidden(node, trainer)]
        loggers = _named(config["logger"])
        method = divide_options(config["method"])
        self.config = with_absolute_paths(config)
        self.folder = Path(config["folder"])
        self.seed: int = config["seed"]
        self.init_from: str | None = config["init_from"]
        self.trust = trusted_by(config)
        self.needs = method.needs
        self.data = Component(config["data"])
        self.selection = Component(config["selection"])
        self.model = Component(config["model"])
        self.method = Component(method.own)
        self.extras = Component(method.extras)
        self.optimizer = Component(optimizer)
        self.scheduler = Component(config["scheduler"])
        self.callbacks = list(map(Component, callbacks))
        self.loggers = list(map(Component, loggers))
        self.trainer = Component(trainer)


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
