"""Learning rates of a method's parameters, and the length of its schedule."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from acclimate.errors import ConfigError
from acclimate.models.classifier import Classifier

# From the published code of DAN and CDAN: pretrained layers learn at a tenth of the rate of new ones.
PRETRAINED_RATE = 0.1


def default_backbone_rate(classifier: Classifier) -> float:
    """Return the default factor of the backbone's learning rate, see `Method`."""
    if classifier.frozen:
        return 0.0
    return PRETRAINED_RATE if classifier.pretrained and classifier.lora_rank is None else 1.0


def refuse_fixed_features(classifier: Classifier) -> None:
    """Refuse a classifier without trainable features, for methods that align features.

    Raises:
        ConfigError: If only the head is trainable.
    """
    if not classifier.trains_features:
        raise ConfigError(
            "This method aligns features, but the backbone is frozen and there is no bottleneck to train. "
            "Set model.bottleneck=256, or choose a method that trains only the head, such as method=mcc."
        )


def refuse_layer_rates(common: Mapping[str, Any]) -> None:
    """Refuse learning rates of layers, for methods that change only batch norm.

    Args:
        common: Arguments of `Method`. A `backbone_rate` of 0 freezes batch norm, so it is not without effect.

    Raises:
        ConfigError: If there are such rates, which would have no effect.
    """
    for key in ("backbone_rate", "layer_decay"):
        if common.get(key):
            raise ConfigError(
                f"method.{key}={common[key]} sets learning rates of layers, but this method only changes batch norm, in all layers alike. "
                f"Type method.{key}=null."
            )


def build_optimizer(make: Callable[[Iterable[dict[str, Any]]], Optimizer], groups: list[dict[str, Any]]) -> Optimizer:
    """Build an optimizer of parameter groups.

    Raises:
        ConfigError: If the optimizer rejects its settings.
    """
    try:
        return make(groups)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"The optimizer cannot be built: {str(error).rstrip('.')}. Change the keys of optimizer.") from error


def scheduled_optimizer(
    make: Callable[[Iterable[dict[str, Any]]], Optimizer], groups: list[dict[str, Any]], factor: Callable[[], float]
) -> dict[str, Any]:
    """Build an optimizer and its scheduler in the form that Lightning expects.

    Args:
        make: Function from parameter groups to an optimizer.
        groups: Parameter groups, each with a `rate` that multiplies its learning rate.
        factor: Function that returns the current factor of all learning rates.

    Raises:
        ConfigError: If the optimizer rejects its settings.
    """
    rates = [group.pop("rate") for group in groups]
    optimizer = build_optimizer(make, groups)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] *= rate
    scheduler = LambdaLR(optimizer, lambda _: factor())
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "learning_rate"}}


def restart_schedule(scheduler: Any, factor: float) -> None:
    """Reset the learning rates, because a resumed run may have another length, rate or schedule than before."""
    if isinstance(scheduler, LambdaLR):
        for group, rate in zip(scheduler.optimizer.param_groups, scheduler.base_lrs, strict=True):
            group["lr"] = rate * factor


def num_training_batches(trainer: pl.Trainer) -> int:
    """Return the number of batches of the whole training, at least 1.

    It does not use `trainer.estimated_stepping_batches`, which makes Lightning build the loader before training starts and
    then not restore its state.

    Raises:
        ConfigError: If the training has no end.
    """
    per_epoch, per_step = trainer.num_training_batches, trainer.accumulate_grad_batches
    by_epochs = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs * per_epoch
    by_steps = math.inf
    if trainer.max_steps != -1:
        # The last step of an epoch may accumulate fewer batches.
        epochs, steps = divmod(trainer.max_steps, math.ceil(per_epoch / per_step))
        by_steps = epochs * per_epoch + steps * per_step
    if math.isinf(min(by_epochs, by_steps)):
        raise ConfigError(
            "The training has no end, which the schedules need. Set trainer.max_epochs or trainer.max_steps, such as trainer.max_epochs=5."
        )
    return max(int(min(by_epochs, by_steps)), 1)
