"""Runs that a command starts: their logs, their records and their output at the end."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from acclimate.cli.trials import pruned_by_trial
from acclimate.config.check import check_before_imports
from acclimate.config.compose import override
from acclimate.config.machine import refuse_missing_files, refuse_missing_packages
from acclimate.files.console import ConsoleFormatter, set_verbosity
from acclimate.memory import lasting_imports
from acclimate.runs.saved import config_to_resume, read_overrides, write_overrides


def train_job(config: dict[str, Any], record: Callable[[], None], *, is_last: bool = True) -> float:
    """Train a run and print its metrics.

    Args:
        config: The plain, resolved configuration.
        record: As for `acclimate.training.run.train`.
        is_last: Whether the command ends with this run, and suggests commands to go on with.

    Returns:
        The value that a sweep maximises.
    """
    check_before_imports(config)
    refuse_missing_files(config)
    refuse_missing_packages(config)
    set_verbosity(config.get("verbosity", "normal"))
    # Imported here, because they import torch.
    with lasting_imports():
        from pytorch_lightning.utilities import rank_zero_only

        from acclimate.cli.next_commands import next_commands
        from acclimate.reports.tables import print_metrics
        from acclimate.training.run import train

    with pruned_by_trial() as callbacks:
        metrics = train(config, record, callbacks)
    rank_zero_only(print_metrics)(metrics, folder=Path(config["folder"]))
    if is_last and config.get("verbosity") != "quiet":
        rank_zero_only(print)("\n".join(["What to try next:", *(f"  {words}" for words in next_commands(config))]))
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


def train_resolved(config: dict[str, Any], overrides: Sequence[str], *, is_last: bool = True) -> None:
    """Train a resolved configuration without Hydra, with the log and the record in the same places as with Hydra.

    Args:
        config: The plain, resolved configuration.
        overrides: The overrides as typed, for the record.
        is_last: As for `train_job`.
    """
    folder = Path(config["folder"])
    _log_to(folder / "train.log")
    train_job(config, lambda: write_overrides(folder, overrides), is_last=is_last)


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
        in_file = logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s")
        handler.setFormatter(in_file if isinstance(handler, logging.FileHandler) else ConsoleFormatter())
        root.addHandler(handler)
    root.setLevel(logging.INFO)
