"""Questions to Lightning that only its private names answer, which a new version may change.

Each function names the version it was last checked with; tests/training/test_lightning_internals.py compares their answers with
what Lightning does next.
"""

import pytorch_lightning as pl


def validates_after_step(trainer: pl.Trainer) -> bool:
    """Return True if a validation follows the step that ends, for use in `on_train_batch_end`. Checked with Lightning 2.6.6."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


def accumulates(trainer: pl.Trainer) -> bool:
    """Return True if the gradients of the last batch wait for those of further ones. Checked with Lightning 2.6.6."""
    return trainer.fit_loop._should_accumulate()
