"""A run from its configuration to `metrics.json`."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only

from acclimate.config.check import check_config
from acclimate.data.leakage import count_seen, find_leaks, warn_of_leaks
from acclimate.data.parts_file import PARTS_FILE, write_parts
from acclimate.diagnostics.negative_transfer import negative_transfer
from acclimate.errors import ConfigError, DivergenceError
from acclimate.files.atomic_files import write_json, write_predictions
from acclimate.files.printable import printable
from acclimate.runs import checkpoint_files
from acclimate.runs.checkpoint_files import best_checkpoint, last_checkpoint
from acclimate.runs.checkpoints import read_checkpoint
from acclimate.runs.record import METRICS, TEST_PREDICTIONS, read_metrics, starts_from_oracle
from acclimate.selection.model_selection import PREDICTIONS
from acclimate.training.assembly import Run, build, silence_known_advice
from acclimate.training.backbone_advice import account_for_backbone
from acclimate.training.callbacks.final_predictions import FinalPredictions
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint
from acclimate.training.callbacks.resumption import Resumption
from acclimate.training.class_results import PER_CLASS, class_results, write_class_results
from acclimate.training.compatibility import refuse_idle_training
from acclimate.training.evaluation import evaluate_parts
from acclimate.training.interruptions import explain_early_end
from acclimate.training.logged_outputs import log_final, log_overview, without_loggers
from acclimate.training.optional_outputs import optional_output
from acclimate.training.parts import Config
from acclimate.training.resume import find_beginning, refuse_other_data
from acclimate.training.run_overview import describe_training
from acclimate.training.start import Start
from acclimate.training.stop_signals import StopSignals
from acclimate.training.warning_log import WarningLog

log = logging.getLogger(__name__)


def train(config: Config, record: Callable[[], None] | None = None, callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """Train a run, select a checkpoint and test it.

    Args:
        config: The plain, fully resolved configuration.
        record: Called on rank 0 after all checks pass, to save the run's configuration.
        callbacks: Additional callbacks, which are not in the configuration.

    Returns:
        The contents of `metrics.json`.

    Raises:
        UserError: For mistakes that the user can correct.
        Interrupted: If a signal stopped the run.
    """
    check_config(config)
    folder, here = Path(config["folder"]), Path.cwd()
    if folder.is_relative_to(here):
        # As typed, relative to the current folder.
        folder = folder.relative_to(here)
    last, best = last_checkpoint(folder), best_checkpoint(folder)
    # The changes that this start accepts are not accepted again by the next one.
    accepted, config = config.get("resume_with") or [], {**config, "resume_with": []}
    start = Start(folder, config, record)
    with (
        claim(folder),
        StopSignals() as signals,
        WarningLog() as warnings,
        explain_early_end(start, signals),
    ):
        silence_known_advice()
        beginning = find_beginning(folder, config, accepted)
        if beginning.is_finished:
            log.info("%s is already finished.", folder)
            return read_metrics(folder)
        start.continue_from(beginning)
        predictions = FinalPredictions()
        run = build(
            config, beginning.checkpoint, [Resumption(beginning.changes), start, LastCheckpoint(last, signals), predictions, *callbacks]
        )
        refuse_other_data(folder, beginning.changes, run.data.division)
        refuse_idle_training(run.data, run.method, run.trainer, best)
        if not beginning.is_recorded:
            start.keep(run.trainer)
            if run.trainer.is_global_zero:
                write_parts(folder / PARTS_FILE, run.data.division, run.data.group_of)
        leaks = find_leaks(run.data.domains, run.seen)
        warn_of_leaks(leaks)
        _announce(run, folder)
        log_overview(run.trainer.loggers, run.config, run.data.overview, run.trainer.global_step)

        _fit(run, last)
        start.keep(run.trainer)
        signals.check()

        is_selected = checkpoint_files.exists(best)
        if not is_selected:
            _keep_last(run, best)
        training = _measure_training(run)
        checkpoint = read_checkpoint(best)
        with without_loggers(run.trainer):
            metrics = evaluate_parts(run, checkpoint) | count_seen(leaks) | {"selection/step": checkpoint["global_step"]} | training
        metrics["seed"] = config["seed"]
        _refuse_selection(metrics)
        if not is_selected and metrics["train/steps"] > 0:
            # The other metrics are those of the last step, although another selection was configured.
            metrics |= {"selection/name": "last", "selection/value": float(metrics["train/steps"])}
        _conclude(run, folder, metrics)
        log_final(run.trainer, run.config, metrics, warnings.messages, run.health.verdict)
        signals.check()

        if run.trainer.is_global_zero:
            if not run.method.needs.is_self_supervised:
                with optional_output(TEST_PREDICTIONS):
                    predictions.write(folder, run.data.domains)
                with optional_output(PER_CLASS):
                    write_class_results(folder / PER_CLASS, class_results(predictions, run.data.domains))
            _write_results(folder, run, metrics)
    return metrics


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Context manager that locks a folder for a run with all its processes.

    Raises:
        ConfigError: If another run is using the folder.
    """
    if getattr(rank_zero_only, "rank", 0) != 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise ConfigError(f"Another run is using {folder}. Wait for it, or choose another folder: hydra.run.dir=DIR.") from None


def _announce(run: Run, folder: Path) -> None:
    for line in describe_training(run, folder):
        log.info("%s", line)
    if account := account_for_backbone(run.data, run.method, run.trainer):
        log.info("%s", account)
    if starts_from_oracle(run.config):
        log.warning(
            "Target labels selected the checkpoint of init_from=%s, or one before it. In comparisons, this run counts as selected by "
            "the oracle. Start from a run with another selection for results without target labels.",
            printable(str(run.config["init_from"])),
        )


def _fit(run: Run, last: Path) -> None:
    """Train, starting from the last checkpoint if there is one."""
    try:
        run.trainer.fit(run.method, run.data, ckpt_path=str(last) if checkpoint_files.exists(last) else None, weights_only=True)
    except ValueError as error:
        # Only Lightning knows the number of batches of an epoch at this point.
        if "val_check_interval" not in str(error):
            raise
        raise ConfigError(
            f"trainer.val_check_interval={run.trainer.val_check_interval} is more than the {run.trainer.num_training_batches} batches of "
            "an epoch. Count batches of all epochs together with trainer.check_val_every_n_epoch=null."
        ) from error


def _keep_last(run: Run, best: Path) -> None:
    """Save the weights of the last step if no callback has saved those of a validation.

    Raises:
        ConfigError: If there was no validation.
    """
    trainer = run.trainer
    if "selection/value" not in trainer.callback_metrics:
        raise ConfigError(
            f"The training ended before its first validation, after {trainer.global_step} steps, so there is no checkpoint to select. "
            "Train longer (trainer.max_time, trainer.max_epochs, trainer.max_steps), or validate more often "
            "(trainer.val_check_interval, trainer.check_val_every_n_epoch)."
        )
    if trainer.global_step > 0:
        log.warning(
            "No callback has saved a checkpoint as %s, so the last weights are kept instead of the selected ones. "
            "Leave callbacks.checkpoint as it is, or use selection=last.",
            best.name,
        )
    trainer.save_checkpoint(best)


def _measure_training(run: Run) -> dict[str, Any]:
    """Return the length and the speed of the training that has just ended."""
    measured: dict[str, Any] = {
        "train/steps": run.trainer.global_step,
        "train/skipped_steps": run.nonfinite.skipped,
        "train/seconds": run.throughput.seconds,
        "train/samples_per_second": run.throughput.samples / max(run.throughput.seconds, 1e-9),
    }
    return measured | ({"train/warm_up_seconds": run.throughput.warm_up_seconds} if run.throughput.warm_up_seconds else {})


def _refuse_selection(metrics: Mapping[str, Any]) -> None:
    if not math.isfinite(metrics["selection/value"]):
        raise DivergenceError(
            f"No validation gave a finite value of selection={metrics['selection/name']}, so there is no checkpoint to select. "
            "Use another selection, such as selection=last, or more validation inputs."
        )


def _conclude(run: Run, folder: Path, metrics: Mapping[str, Any]) -> None:
    for line in run.health.verdict:
        log.info("%s", line)
    with optional_output("the comparison with other runs"):
        if message := negative_transfer(folder, metrics):
            log.warning("%s", message)


def _write_results(folder: Path, run: Run, metrics: dict[str, Any]) -> None:
    """Write the results, `metrics.json` last, because it marks a run as finished."""
    if run.scores.probabilities:
        with optional_output(PREDICTIONS):
            write_predictions(folder / PREDICTIONS, torch.cat(run.scores.probabilities))
    write_json(folder / METRICS, metrics)
