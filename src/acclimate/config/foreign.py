"""Restrictions of parameters of torch and Lightning whose annotations allow more than a run supports."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Len, doc

from acclimate.ranges import Count, NonNegative, NonNegativeInt, Positive, PositiveShare, Share, ShareBelowOne

# Lightning allows 0 batches, but a run without training or without evaluation is of no use.
_Batches = Count | PositiveShare | None
_Unlimited = Literal[-1]
_Validated = Annotated[Count | PositiveShare | None, doc("0 leaves nothing to select a checkpoint by.")]

_TRAINER: dict[str, Any] = {
    "devices": _Unlimited | Count | Annotated[list[NonNegativeInt], Len(1)] | str,
    "num_nodes": Count,
    # Metrics would be those of a training that did not take place.
    "fast_dev_run": Annotated[Literal[False], doc("Use trainer=smoke for a short run.")],
    "max_epochs": _Unlimited | Count | None,
    "min_epochs": Count | None,
    "max_steps": _Unlimited | Count,
    "min_steps": Count | None,
    "max_time": str | Annotated[Mapping[str, NonNegativeInt], Len(1)] | None,
    "limit_train_batches": _Batches,
    "limit_val_batches": _Validated,
    "limit_test_batches": _Batches,
    "limit_predict_batches": _Batches,
    # It replaces the samplers of loaders, but ours have none.
    "overfit_batches": Annotated[Literal[0], doc("Use trainer.limit_train_batches.")],
    "val_check_interval": Count | PositiveShare | None,
    "check_val_every_n_epoch": Count | None,
    "num_sanity_val_steps": _Unlimited | NonNegativeInt | None,
    "log_every_n_steps": Count | None,
    "enable_checkpointing": Literal[True] | None,
    "accumulate_grad_batches": Count,
    "gradient_clip_val": NonNegative | None,
    "gradient_clip_algorithm": Literal["norm", "value"] | None,
    "profiler": Literal["simple", "advanced", "pytorch"] | Callable[..., Any] | None,
    # It disables essential parts of a run: loggers, checkpoints, validations.
    "barebones": Literal[False],
    "reload_dataloaders_every_n_epochs": NonNegativeInt,
    "model_registry": type(None),
}

# Restrictions by the beginning of a target's name.
LIMITS: dict[str, dict[str, Any]] = {
    "torch.optim.": {
        "lr": Positive,
        "weight_decay": NonNegative,
        "eps": Positive,
        "betas": Annotated[Sequence[ShareBelowOne], Len(2, 2)],
        "momentum": ShareBelowOne,
        "dampening": Share,
        "alpha": Share,
        "rho": Share,
        # Gradient ascent, and options that do not work in a training step of Lightning or without a GPU.
        "maximize": Literal[False],
        "differentiable": Literal[False],
        "capturable": Literal[False],
    },
    "pytorch_lightning.Trainer": _TRAINER,
    "pytorch_lightning.callbacks.ModelCheckpoint": {
        "mode": Literal["min", "max"],
        "save_top_k": _Unlimited | Count,
        "every_n_train_steps": NonNegativeInt | None,
        "every_n_epochs": NonNegativeInt | None,
    },
    "pytorch_lightning.callbacks.EarlyStopping": {
        "mode": Literal["min", "max"],
        "patience": NonNegativeInt,
        "min_delta": NonNegative,
    },
    "pytorch_lightning.loggers.CSVLogger": {"flush_logs_every_n_steps": Count},
    "pytorch_lightning.loggers.TensorBoardLogger": {"max_queue": Count, "flush_secs": Count},
}


def limits(target: str) -> dict[str, Any]:
    """Return annotations that replace those of a target, by parameter."""
    return next((hints for name, hints in LIMITS.items() if target.startswith(name)), {})
