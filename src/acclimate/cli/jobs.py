"""Runs that a command starts: their logs, their records and their output at the end."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from acclimate.config.check import check_before_imports
from acclimate.config.compose import override
from acclimate.config.machine import refuse_missing_files
from acclimate.runs.saved import config_to_resume, read_overrides, write_overrides


def train_job(config: dict[str, Any], record: Callable[[], None]) -> float:
    """Train a run and print its metrics.

    Args:
        config: The plain, resolved configuration.
        record: As for `acclimate.training.run.train`.

    Returns:
        The value that a sweep maximises.
    """
    check_before_imports(config)
    refuse_missing_files(config)
    # Imported here, because they import torch.
    from pytorch_lightning.utilities import rank_zero_only

    from acclimate.reports.tables import print_metrics
    from acclimate.training.run import train

    metrics = train(config, record)
    rank_zero_only(print_metrics)(metrics, folder=Path(config["folder"]))
    return float(metrics["selection/value"])


def train_saved(folder: Path, overrides: Sequence[str], trust: Sequence[str], config_dir: Path | None = None) -> None:
    """Continue a run from the record in its folder, which is plain data: saved overrides are not replayed.

    Args:
        folder: The folder of the run.
        overrides: `GROUP.KEY=VALUE` and `GROUP=NAME`, as for `override`.
        trust: As for `refuse_strangers`.
        config_dir: As for `override`.

    Raises:
        UserError: If the folder is not that of a run, its record contains targets that are not trusted, or the run fails.
    """
    config = config_to_resume(folder, trust, partial(override, overrides=overrides, config_dir=config_dir))
    train_resolved(config, [*read_overrides(folder), *overrides])


def train_resolved(config: dict[str, Any], overrides: Sequence[str]) -> None:
    """Train a resolved configuration without Hydra, with the log and the record in the same places as with Hydra.

    Args:
        config: The plain, resolved configuration.
        overrides: The overrides as typed, for the record.
    """
    folder = Path(config["folder"])
    _log_to(folder / "train.log")
    train_job(config, lambda: write_overrides(folder, overrides))


def _log_to(file: Path) -> None:
    """Log to the console and append to a run's log file, in the same way as Hydra."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler) in (logging.StreamHandler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    # With several devices, only the first process writes.
    if os.environ.get("LOCAL_RANK", "0") == "0":
        file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(file))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"))
        root.addHandler(handler)
    root.setLevel(logging.INFO)
