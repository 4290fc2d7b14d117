"""Loggers for Weights & Biases and MLflow that need no network and continue their runs.

Their packages are imported only if such a logger is built.
"""

import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from pytorch_lightning.loggers import MLFlowLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from acclimate.config.identity import flat
from acclimate.files.atomic_files import replacing

# All runs below the current folder share it, so that MLflow can compare them.
MLFLOW_FOLDER = Path("outputs", "mlflow")
MLFLOW_RUN = "mlflow_run.txt"


class WandB(WandbLogger):
    """Weights & Biases logger that writes to `wandb/` in the run's folder, to be uploaded by `wandb sync`.

    With the environment variable `WANDB_MODE=online`, it uploads at once. A resumed run has the same id, so that both parts are one
    run for Weights & Biases.

    Args:
        save_dir: The folder of the run.
        project: Name of the project.
        name: Name of the run; None: that of its folder.
    """

    def __init__(self, save_dir: str, project: str = "acclimate", name: str | None = None) -> None:
        mode = os.environ.get("WANDB_MODE", "offline")
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        # Continuing a run refuses folders with links. The log has the output, environment.json the versions.
        settings = wandb.Settings(console="off", silent=True, symlink=False, disable_git=True, disable_code=True, x_disable_stats=True)
        super().__init__(
            name=name or Path(save_dir).name, save_dir=save_dir, project=project, id=_wandb_id(Path(save_dir)), mode=mode, settings=settings
        )
        # wandb warns of a setting that it does not know any more.
        self._wandb_init.pop("anonymous", None)

    @property
    def experiment(self) -> Any:
        if self._experiment is not None or rank_zero_only.rank != 0:  # type: ignore[attr-defined]
            return super().experiment
        import wandb

        if wandb.run is not None:
            # A run in the same process that failed before its end, which Lightning would continue.
            wandb.finish(exit_code=1)
        experiment = super().experiment
        for path in Path(experiment.dir).parent.rglob("*"):
            if path.is_symlink():
                path.unlink()
        return experiment

    @rank_zero_only
    def log_config(self, config: Mapping[str, Any]) -> None:
        """Log the configuration of the run."""
        self.log_hyperparams(dict(config))

    @rank_zero_only
    def log_picture(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """Log a picture, see `acclimate.training.logged_outputs.log_picture`."""
        self.log_image(name, [Image.open(io.BytesIO(png))], step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if status != "success":
            self._finish(exit_code=1)

    @rank_zero_only
    def close(self) -> None:
        """Finish the run; nothing can be logged afterwards."""
        self._finish(exit_code=0)

    def _finish(self, exit_code: int) -> None:
        if self._experiment is not None:
            self._experiment.finish(exit_code=exit_code)


def _wandb_id(folder: Path) -> str | None:
    """Return the id of the run that was logged in a folder; None if there is none."""
    # Named run-TIME-ID or offline-run-TIME-ID.
    earlier = sorted(folder.glob("wandb/*run-*-*/run-*.wandb"), key=lambda file: file.parent.name)
    return earlier[-1].stem.removeprefix("run-") if earlier else None


class MLflow(MLFlowLogger):
    """MLflow logger that writes to a database in `outputs/mlflow/` of the current folder, which all runs share.

    The environment variable `MLFLOW_TRACKING_URI` names another store, such as a server. A resumed run continues its run in MLflow.

    Args:
        save_dir: The folder of the run, which keeps the id of the run in MLflow.
        experiment_name: Name of the experiment.
        run_name: Name of the run; None: that of its folder.
    """

    def __init__(self, save_dir: str, experiment_name: str = "acclimate", run_name: str | None = None) -> None:
        uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if uri is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            folder = MLFLOW_FOLDER.absolute()
            folder.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts")
        import mlflow  # noqa: F401, sets the level of its own logger

        for name in ("mlflow", "alembic"):
            # They report each change of the database's layout.
            logging.getLogger(name).setLevel(logging.WARNING)
        super().__init__(experiment_name, run_name=run_name or Path(save_dir).name, tracking_uri=uri, artifact_location=artifacts)
        self._id_file = Path(save_dir) / MLFLOW_RUN

    @property
    def experiment(self) -> Any:
        if self._initialized or rank_zero_only.rank != 0:  # type: ignore[attr-defined]
            return super().experiment
        self._experiment_id = _experiment_id(self._mlflow_client, self._experiment_name, self._artifact_location)
        earlier = self._id_file.read_text().strip() if self._id_file.is_file() else None
        if earlier and _has_run(self._mlflow_client, earlier):
            self._run_id = earlier
            self._mlflow_client.update_run(earlier, status="RUNNING")
        client = super().experiment
        if self._run_id != earlier:
            with replacing(self._id_file) as file:
                file.write(f"{self._run_id}\n".encode())
        return client

    @rank_zero_only
    def log_config(self, config: Mapping[str, Any]) -> None:
        """Log the configuration of the run; MLflow refuses other values in a resumed run, so those of its start stay."""
        known = self.experiment.get_run(self.run_id).data.params
        self.log_hyperparams({key: value for key, value in flat(config).items() if key not in known})

    @rank_zero_only
    def log_picture(self, name: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """Log a picture, see `acclimate.training.logged_outputs.log_picture`."""
        self.experiment.log_image(self.run_id, Image.open(io.BytesIO(png)), key=name, step=step)

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        if status != "success" and self._initialized:
            self.experiment.set_terminated(self.run_id, "FAILED")

    @rank_zero_only
    def close(self) -> None:
        """Mark the run as finished."""
        if self._initialized:
            self.experiment.set_terminated(self.run_id, "FINISHED")


def _experiment_id(client: Any, name: str, artifacts: str | None) -> str:
    """Return the id of an experiment, and create it if there is none."""
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:
            # Another run has just created it.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _has_run(client: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException:
        return False
    return True
