"""Provenance of checkpoints and runs."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from acclimate.data.leakage import Seen

PACKAGES = ("acclimate", "torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "timm", "torchmetrics", "numpy")


class Provenance(Callback):
    """Callback that adds everything to checkpoints that is needed to rebuild the model without the run's folder.

    Args:
        config: The plain, fully resolved configuration of the run.
        classes: Names of the classes, in the order of the logits.
        inputs: The node of the kind of input, see `acclimate.data.kind.contents`.
        self_supervised: Whether only the features were trained, without labels.
        seen: Digests of the samples used in training and selection, by which `evaluate` recognises them; None if unknown.
    """

    def __init__(
        self, config: dict[str, Any], *, classes: list[str], inputs: dict[str, Any], self_supervised: bool, seen: Seen | None
    ) -> None:
        self.contents = {
            "config": config,
            "classes": classes,
            "inputs": inputs,
            "self_supervised": self_supervised,
            "seen": seen and seen._asdict(),
        }

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint.update(self.contents)


def describe_environment(trainer: pl.Trainer) -> dict[str, Any]:
    """Return versions, the git commit of this package and the device."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "device": str(trainer.strategy.root_device),
        "num_devices": trainer.num_devices * trainer.num_nodes,
        "precision": str(trainer.precision),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Return the output of git for the folder of this package; None outside of a repository or without git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
