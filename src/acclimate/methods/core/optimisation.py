"""Learning rates of a method's parameters, and how long its schedule is."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from acclimate.errors import ConfigError
from acclimate.models.classifier import Classifier

# Of the published code of DAN and CDAN: layers that are trained already move at a tenth of the rate of new ones.
PRETRAINED_RATE = 0.1


def default_backbone_rate(classifier: Classifier) -> float:
    """Return the factor of the backbone's learning rate where none is set, see `Method`."""
    return PRETRAINED_RATE if classifier.pretrained and classifier.lora_rank is None else 1.0


def refuse_fixed_features(classifier: Classifier) -> None:
    """Refuse a classifier whose features a method would align, if no layer trains them.

    Raises:
        ConfigError: If the head alone trains.
    """
    if not classifier.trains_features:
        raise ConfigError(
            "This method aligns features, but the backbone is frozen and there is no bottleneck that could move them. "
            "Set model.bottleneck=256, or choose a method that trains the head alone, such as method=mcc."
        )


def build_optimizer(make: Callable[[Iterable[dict[str, Any]]], Optimizer], groups: list[dict[str, Any]]) -> Optimizer:
    """Return an optimizer of these groups.

    Raises:
        ConfigError: If the optimizer refuses its settings.
    """
    try:
        return make(groups)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"The optimizer cannot be built: {str(error).rstrip('.')}. Change the keys of optimizer.") from error


def scheduled_optimizer(
    make: Callable[[Iterable[dict[str, Any]]], Optimizer], groups: list[dict[str, Any]], factor: Callable[[], float]
) -> dict[str, Any]:
    """Return an optimizer and its scheduler as Lightning takes them.

    Args:
        make: Makes the optimizer.
        groups: The parameters, each group with its `rate`, by which its learning rate is multiplied.
        factor: The learning rates' present factor.

    Raises:
        ConfigError: If the optimizer refuses its settings.
    """
    rates = [group.pop("rate") for group in groups]
    optimizer = build_optimizer(make, groups)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] *= rate
    scheduler = LambdaLR(optimizer, lambda _: factor())
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "learning_rate"}}


def restart_schedule(scheduler: Any, factor: float) -> None:
    """Set the learning rates anew: a run that is continued may have another length, rate or schedule than before."""
    if isinstance(scheduler, LambdaLR):
        for group, rate in zip(scheduler.optimizer.param_groups, scheduler.base_lrs, strict=True):
            group["lr"] = rate * factor


def num_training_batches(trainer: pl.Trainer) -> int:
    """Return how many batches a training has in all, at least 1.

    Not from `trainer.estimated_stepping_batches`: before the training starts it makes Lightning build the loader, whose state
    is then not restored.

    Raises:
        ConfigError: If it has no end.
    """
    per_epoch, per_step = trainer.num_training_batches, trainer.accumulate_grad_batches
    by_epochs = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs * per_epoch
    by_steps = math.inf
    if trainer.max_steps != -1:
        # The last step of an epoch takes what is left of its batches.
        epochs, steps = divmod(trainer.max_steps, math.ceil(per_epoch / per_step))
        by_steps = epochs * per_epoch + steps * per_step
    if math.isinf(min(by_epochs, by_steps)):
        raise ConfigError("The training has no end that schedules could run to. Set trainer.max_epochs or trainer.max_steps.")
    return max(int(min(by_epochs, by_steps)), 1)
