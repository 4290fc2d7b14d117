"""The record of a run's start, written after all checks pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from acclimate.files.atomic_files import write_json
from acclimate.runs.record import METRICS, write_record
from acclimate.training.callbacks.provenance import describe_environment
from acclimate.training.resume import Beginning, Changes


class Start(Callback):
    """Callback that writes the record of a run after its first step, unless `keep` is called before.

    A resumed run keeps its earlier record until then, so that a mistake in the settings changes nothing. If it was finished,
    its results are renamed to `metrics-STEPS-steps.json`, because it is not finished any more.

    Args:
        folder: The folder of the run.
        config: The plain, fully resolved configuration.
        record: Function that saves the overrides as typed.
    """

    def __init__(self, folder: Path, config: dict[str, Any], record: Callable[[], None] | None) -> None:
        self.folder = folder
        self.config = config
        self.record = record
        self.changes: Changes = {}
        self.step = 0
        self._is_kept = False

    def continue_from(self, beginning: Beginning) -> None:
        """Record the changes of a resumed run, and the step from which it continues."""
        self.changes, self.step = beginning.changes, beginning.step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self._is_kept:
            self.keep(trainer)

    def keep(self, trainer: pl.Trainer) -> None:
        """Write the record; further calls do nothing."""
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
        """Write the record without the overrides as typed."""
        if self.record is not None:
            self.record()
        write_record(self.folder, self.config, self.changes, step=self.step)
