"""Loggers for TensorBoard and CSV that continue their curves when a run is resumed."""

import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.tensorboard.summary import hparams

from acclimate.files.atomic_files import replacing
from acclimate.training import tensorboard_summaries
from acclimate.training.dashboard import FINAL, describe, lines_beside, page_of

# The columns of the view of hyperparameters, of which TensorBoard first shows five.
HEADLINES = tuple(
    f"{FINAL}{name}"
    for name in (
        "target/test_accuracy",
        "selection/value",
        "source/test_accuracy",
        "source/val_accuracy",
        "train/seconds",
        "train/steps",
    )
)


class TensorBoard(TensorBoardLogger):
    """TensorBoard logger that writes one event file for each start of a run, with descriptions and the page of custom scalars.

    Lightning would close the file after training, and later values would start another one.
    """

    _is_started = False
    _epoch_logged_at: int | None = None
    # The page as it was last written.
    _page: Mapping[str, Any] | None = None
    # Names of the curves so far.
    _names: frozenset[str] = frozenset()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            _wait_for_a_new_name(Path(self.log_dir))
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if not self._is_started:
            self._is_started = True
            _drop_later_events(self.experiment, step or 0)
        if "epoch" in metrics:
            # Lightning logs the epoch with the training and again with a validation after the same step.
            repeated, self._epoch_logged_at = step == self._epoch_logged_at, step
            metrics = {name: value for name, value in metrics.items() if name != "epoch" or not repeated}
        metrics = {**metrics, **lines_beside(metrics.keys())}
        summaries = []
        for name, value in metrics.items():
            if name not in self._names and (description := describe(name)):
                # TensorBoard takes the description from the first value of a curve, and of two values of a step shows the later one.
                summaries.append(tensorboard_summaries.described_scalar(name, float(value), description))
            # Readers of event files expect plain values.
            summaries.append(tensorboard_summaries.scalar(name, float(value)))
        self.write(tensorboard_summaries.together(summaries), step)
        self._names |= metrics.keys()
        if "selection/value" in metrics and (page := page_of(self._names)) != self._page:
            # After the first validation, and again if a curve begins later.
            self._page = page
            self.write(tensorboard_summaries.page(page), step)
            # All descriptions on one page, because TensorBoard shows one at a time, and none in TIME SERIES.
            described = {name: describe(name) for name in sorted(self._names)}
            self.log_text("curves", "\n".join(f"- **{name}**: {text}" for name, text in described.items() if text), step or 0)

    @rank_zero_only
    def log_picture(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """Log a picture.

        Args:
            name: Name in TensorBoard.
            png: The picture as a PNG file.
            size: Height and width in pixels.
            step: Number of finished steps.
        """
        self.write(tensorboard_summaries.image(name, png, size, describe(name)), step)

    @rank_zero_only
    def log_text(self, name: str, markdown: str, step: int) -> None:
        """Log a text in Markdown."""
        self.write(tensorboard_summaries.text(name, markdown, describe(name)), step)

    @rank_zero_only
    def log_results(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Log the results of a run, and a row of its most important ones for the view of hyperparameters.

        Args:
            settings: Settings that set the run apart, in the order of the columns.
            results: All results.
            step: Number of finished steps.
        """
        self.log_metrics(results, step)
        shown = {name: results[name] for name in HEADLINES if name in results}
        for summary in hparams(dict(settings), shown):  # type: ignore[no-untyped-call]
            self.write(summary, step)

    def write(self, summary: Any, step: int | None) -> None:
        """Write a summary to the event file."""
        self.experiment._get_file_writer().add_summary(summary, step)

    @rank_zero_only
    def save(self) -> None:
        # Do not write Lightning's hparams.yaml, which would be empty.
        self.experiment.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if status == "success":
            self.save()
        else:
            self.close()

    @rank_zero_only
    def close(self) -> None:
        """Close the event file; nothing can be logged afterwards."""
        if self._experiment is not None:
            self._experiment.close()


class Table(CSVLogger):
    """CSV logger to which a resumed run appends, while Lightning's logger would delete the existing rows."""

    _is_started = False

    @property
    def experiment(self) -> ExperimentWriter:
        if not isinstance(self._experiment, _Rows):
            self._experiment = _Rows(self.log_dir)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        writer = self.experiment
        if not self._is_started and isinstance(writer, _Rows):
            self._is_started = True
            writer.keep_before(step or 0)
        super().log_metrics(metrics, step)


class _Rows(ExperimentWriter):
    """Lightning's CSV writer, changed to append to an existing file."""

    def _check_log_dir_exists(self) -> None:
        self.file = Path(self.metrics_file_path)
        if self.file.exists():
            with self.file.open(newline="") as file:
                self.metrics_keys = list(csv.DictReader(file).fieldnames or [])

    def keep_before(self, step: int) -> None:
        """Drop the rows from a step on, which a killed run logged after its last checkpoint."""
        if self.file.exists():
            with self.file.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) < step]
            text = io.StringIO()
            writer = csv.DictWriter(text, self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)
            with replacing(self.file) as kept:
                kept.write(text.getvalue().encode())


def _wait_for_a_new_name(folder: Path) -> None:
    """Wait until the name of a new event file sorts behind those of the folder, because TensorBoard reads them in this order.

    Names begin with the second and end with a number that is not padded, which tells files of one process and second apart.
    """
    while any(folder.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
        time.sleep(0.02)


def _drop_later_events(writer: Any, step: int) -> None:
    """Make TensorBoard discard events from a step on, which a killed run logged after its last checkpoint."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]

    writer._get_file_writer().add_event(Event(session_log=SessionLog(status=SessionLog.START)), step)
