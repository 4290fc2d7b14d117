"""Commands to go on with after a run."""

import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from acclimate.config.method_options import declared_needs
from acclimate.config.untrusted import targets
from acclimate.errors import command
from acclimate.runs.record import has_record, read_record

# Keys of which a method that uses another one's features has its own values.
OF_METHODS = ("method", "selection", "init_from", "name", "folder", "resume")


def next_commands(config: Mapping[str, Any]) -> list[str]:
    """Return commands for a finished run; words in capitals stand for what the user has.

    Args:
        config: The plain, resolved configuration of the run.
    """
    folder = Path(config["folder"])
    if folder.is_relative_to(Path.cwd()):
        # As typed, relative to the current folder.
        folder = folder.relative_to(Path.cwd())
    # With its neighbours, such as all runs in outputs.
    runs = str(folder if folder.is_absolute() else Path(*folder.parts[:1]))
    if declared_needs(config["method"]).is_self_supervised:
        own = [command("train", *_settings(folder), f"init_from={folder}")]
    else:
        own = [
            command("evaluate", f"run={folder}", "data.target=PLACE"),
            command("predict", f"run={folder}", "inputs=PLACE", "out=predictions.csv"),
        ]
    return [*own, command("compare", runs), *_dashboards(targets(config["logger"]), folder, runs)]


def _settings(folder: Path) -> list[str]:
    """Return the typed settings of a run that a run with another method shares, such as those of its data."""
    overrides = read_record(folder).overrides if has_record(folder) else []
    typed = [text.removeprefix("++") for text in overrides]
    return [text for text in typed if text.lstrip("+").partition("=")[0].partition(".")[0] not in OF_METHODS]


def _dashboards(loggers: Collection[str], folder: Path, runs: str) -> Iterator[str]:
    """Yield the commands that show what loggers have written."""
    if any("TensorBoard" in name for name in loggers):
        yield shlex.join(["tensorboard", "--logdir", runs])
    if "acclimate.training.trackers.WandB" in loggers:
        # The shell completes the names.
        yield f"wandb sync {shlex.quote(str(folder))}/wandb/offline-run-*"
    if "acclimate.training.trackers.MLflow" in loggers:
        yield "mlflow ui --backend-store-uri sqlite:///outputs/mlflow/mlflow.db"
