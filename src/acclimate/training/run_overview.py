"""Overview of a run before training: its model, its device, its length and its folder."""

from pathlib import Path

import pytorch_lightning as pl
import torch

from acclimate.data.datamodule import AdaptationData
from acclimate.files.printable import printable
from acclimate.memory import model_name
from acclimate.training.assembly import Run


def describe_training(run: Run, folder: Path) -> list[str]:
    """Return a line for each of the model, the device, the training and the folder of a run."""
    method, trainer = run.method, run.trainer
    parameters = list(method.parameters())
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    total = sum(parameter.numel() for parameter in parameters)
    start = "pretrained" if method.classifier.pretrained else "from random weights"
    if run.config.get("init_from"):
        start = f"from {printable(str(run.config['init_from']))}"
    devices = trainer.num_devices * trainer.num_nodes
    device = trainer.strategy.root_device
    counted = f"{devices} × {device.type}" if devices > 1 else str(device)
    number = torch.get_num_threads()
    threads = f", {number} thread{'s' * (number != 1)}" if device.type == "cpu" else ""
    return [
        f"model: {model_name(run.config)}, {start}; {trained:,} of {total:,} parameters train",
        f"device: {counted}, precision {trainer.precision}{threads}",
        f"training: {printable(run.config.get('name') or type(method).__name__)}, {_length(run.data, trainer)}",
        printable(f"results: {folder}"),
    ]


def _length(data: AdaptationData, trainer: pl.Trainer) -> str:
    """Describe the length of the training."""
    per_epoch = data.batches_per_epoch(trainer.world_size)
    share = trainer.limit_train_batches
    per_epoch = min(per_epoch, share) if isinstance(share, int) else max(int(per_epoch * share), 1)
    steps = max(per_epoch // trainer.accumulate_grad_batches, 1)
    if (trainer.max_steps or -1) > 0:
        return f"{trainer.max_steps:,} steps ({trainer.max_steps / steps:.3g} epochs of {per_epoch:,} batches)"
    if (trainer.max_epochs or -1) > 0:
        return f"{trainer.max_epochs * steps:,} steps ({trainer.max_epochs} epochs of {per_epoch:,} batches)"  # type: ignore[operator]
    return f"epochs of {per_epoch:,} batches, until trainer.max_time"
