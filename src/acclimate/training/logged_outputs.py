"""Pictures, texts and results that a run sends to its loggers; an error of one of them ends no run."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import yaml
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from acclimate.files.printable import printable_values
from acclimate.runs.record import ANSWERS
from acclimate.runs.settings import telling_settings
from acclimate.training.dashboard import FINAL
from acclimate.training.loggers import TensorBoard
from acclimate.training.optional_outputs import optional_output


def log_picture(loggers: Iterable[Logger], name: str, png: bytes, size: tuple[int, int], step: int) -> list[Logger]:
    """Send a picture to every logger that can show it; an error of one is logged.

    A logger can show pictures if it has a method `log_picture(name, png, size, step)`.

    Args:
        loggers: The loggers of a run.
        name: Name of the picture, with `/` between groups.
        png: The picture as a PNG file.
        size: Height and width in pixels.
        step: Number of finished steps.

    Returns:
        The loggers without those that failed.
    """
    remaining = []
    for logger in loggers:
        with optional_output(f"the picture {name} in {type(logger).__name__}, and later ones"):
            if hasattr(logger, "log_picture"):
                logger.log_picture(name, png, size, step)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, np.array(Image.open(io.BytesIO(png))), step, dataformats="HWC")
            remaining.append(logger)
    return remaining


@contextmanager
def without_loggers(trainer: pl.Trainer) -> Iterator[None]:
    """Context manager that disables the loggers, for validations and tests that do not belong to the curves."""
    loggers, trainer.loggers = trainer.loggers, []
    try:
        yield
    finally:
        trainer.loggers = loggers


def log_overview(loggers: Iterable[Logger], config: Mapping[str, Any], data: Iterable[str], step: int) -> None:
    """Log the configuration and an overview of the data as texts to TensorBoard, and the configuration to loggers that keep it.

    The latter have a method `log_config(config)`.

    Args:
        loggers: The loggers of a run.
        config: The plain configuration.
        data: Lines about the data.
        step: Number of finished steps.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoard):
            with optional_output("the texts in TensorBoard"):
                settings = yaml.safe_dump(printable_values(config), sort_keys=False, allow_unicode=True)
                logger.log_text("configuration", _as_code(settings.splitlines()), step)
                logger.log_text("data", _as_code(data), step)
        elif hasattr(logger, "log_config"):
            with optional_output(f"the configuration in {type(logger).__name__}"):
                logger.log_config(printable_values(config))


def _as_code(lines: Iterable[str]) -> str:
    """Return lines as a code block in Markdown."""
    return "\n".join(f"    {line}" for line in lines)


def log_final(
    trainer: pl.Trainer, config: Mapping[str, Any], metrics: Mapping[str, Any], warnings: Iterable[str] = (), verdict: Iterable[str] = ()
) -> None:
    """Log the results of the selected checkpoint below `final/`, separate from the curves of training.

    TensorBoard also gets the warnings and the verdict as texts, and a row in its view of hyperparameters.

    Args:
        trainer: The trainer of the run.
        config: The plain configuration.
        metrics: The contents of `metrics.json`.
        warnings: The warnings of the run.
        verdict: The lines of its verdict.
    """
    numbers = {f"{FINAL}{name}": value for name, value in metrics.items() if isinstance(value, int | float)}
    for logger in trainer.loggers:
        with optional_output(f"the results in {type(logger).__name__}"):
            if isinstance(logger, TensorBoard):
                # TensorBoard sorts texts by their names and opens only the first two.
                for name, lines in ((ANSWERS, verdict), ("warnings", warnings)):
                    logger.log_text(name, "\n".join(f"- {text}" for text in lines) or "None.", trainer.global_step)
                logger.log_results(printable_values(telling_settings(Path(config["folder"]))), numbers, trainer.global_step)
            elif isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(printable_values(config), numbers, step=trainer.global_step)
            else:
                logger.log_metrics(numbers, step=trainer.global_step)
            logger.save()
            if hasattr(logger, "close"):
                logger.close()
