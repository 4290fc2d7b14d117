"""What a run was started with, kept in its folder once nothing speaks against it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from acclimate.files.atomic_files import write_json
from acclimate.runs.record import METRICS, write_record
from acclimate.training.callbacks.provenance import describe_environment
from acclimate.training.resume import Changes


class Start(Callback):
    """Keeps the record of a run when it has trained a step, unless `keep` is called before.

    A run that is continued keeps its earlier record until then, so that a mistake in the settings stores nothing. If it was
    finished, its results are renamed to `metrics-STEPS-steps.json`: it is not finished any more.

    Args:
        folder: Of the run.
        config: Plain and fully resolved.
        record: Keeps what was typed.
        changes: What differs from the earlier start.
        step: Where the run is continued.
    """

    def __init__(self, folder: Path, config: dict[str, Any], record: Callable[[], None] | None, changes: Changes, *, step: int) -> None:
        self.folder = folder
        self.config = config
        self.record = record
        self.changes = changes
        self.step = step
        self._is_kept = False

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self._is_kept:
            self.keep(trainer)

    def keep(self, trainer: pl.Trainer) -> None:
        """Write the record, the first time this is called."""
        if self._is_kept:
            return
        self._is_kept = True
        if trainer.is_global_zero:
            results = self.folder / METRICS
            if results.exists():
                results.rename(self.folder / f"metrics-{self.step}-steps.json")
            self.write()
            write_json(self.folder / "environment.json", describe_environment(trainer))

    def write(self) -> None:
        """Write the record alone."""
        if self.record is not None:
            self.record()
        write_record(self.folder, self.config, self.changes, step=self.step)
