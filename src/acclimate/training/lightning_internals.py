"""Uses of what Lightning does not document, which a new version may change.

Each function names the version it was last checked with; tests/training/test_lightning_internals.py compares them with what
Lightning does.
"""

from collections.abc import Sequence

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

# Hooks of each step that only Lightning calls; methods that alternate call `on_before_optimizer_step` themselves.
STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_before_zero_grad",
    "on_train_batch_end",
)


def validates_after_step(trainer: pl.Trainer) -> bool:
    """Return True if a validation follows the step that ends, for use in `on_train_batch_end`. Checked with Lightning 2.6.6."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


def accumulates(trainer: pl.Trainer) -> bool:
    """Return True if the gradients of the last batch wait for those of further ones. Checked with Lightning 2.6.6."""
    return trainer.fit_loop._should_accumulate()


def leave_out_empty_hooks(pl_module: pl.LightningModule, callbacks: Sequence[Callback]) -> None:
    """Make Lightning skip the hooks of a step that a module and its callbacks do not override.

    With a dozen callbacks, calling empty hooks takes a tenth of a step on precomputed features. Lightning skips a hook that is
    None. Checked with Lightning 2.6.6.
    """
    for owner, base in ((pl_module, pl.LightningModule), *((callback, Callback) for callback in callbacks)):
        for name in STEP_HOOKS:
            if getattr(type(owner), name) is getattr(base, name) and name not in vars(owner):
                setattr(owner, name, None)
