"""The changes of a resumed run, applied to its checkpoint."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint

from acclimate.config.identity import EPOCHS, STEPS
from acclimate.training.resume import Change, Changes


class Resumption(Callback):
    """Callback that applies the changes of a resumed run to its checkpoint.

    Otherwise Lightning would restore the earlier settings of optimizers and callbacks over the new ones.

    Args:
        changes: The changes from `accept_changes`.
    """

    def __init__(self, changes: Changes) -> None:
        self.changes = changes

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.changes.keys() & {EPOCHS, STEPS}:
            # The run stopped at, or before, the end of its earlier length.
            checkpoint["should_stop"] = False
        for key, change in self.changes.items():
            group, _, name = key.partition(".")
            if group == "optimizer":
                _set_option(checkpoint, name, change)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            state = checkpoint["callbacks"].get(callback.state_key)
            if state is not None and isinstance(callback, EarlyStopping):
                state["patience"] = callback.patience
            if state is not None and isinstance(callback, ModelCheckpoint):
                _move(state, callback)


def _set_option(checkpoint: dict[str, Any], name: str, change: Change) -> None:
    """Set an option of the optimizer; learning rates keep their proportions between parts of the model."""
    for optimizer in checkpoint["optimizer_states"]:
        for group in optimizer["param_groups"]:
            if name == "lr":
                group["initial_lr"] *= change.now / change.before
            elif name in group:
                group[name] = tuple(change.now) if isinstance(change.now, list) else change.now
    for scheduler, optimizer in zip(checkpoint["lr_schedulers"], checkpoint["optimizer_states"], strict=True):
        # The current learning rate follows from these and the schedule at the start of training.
        scheduler["base_lrs"] = [group["initial_lr"] for group in optimizer["param_groups"]]


def _move(state: dict[str, Any], callback: ModelCheckpoint) -> None:
    """Update the path of the best checkpoint after its folder has moved."""
    there, here = state["dirpath"], str(callback.dirpath)

    def moved(path: str) -> str:
        return str(Path(here) / Path(path).relative_to(there)) if there and path and Path(path).is_relative_to(there) else path

    state["dirpath"] = here
    for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[name] = moved(state[name])
    state["best_k_models"] = {moved(path): value for path, value in state["best_k_models"].items()}
