"""Requirements of a configuration on the machine: devices, files and packages."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from acclimate.errors import ConfigError

# Descriptions of source and target for these classes.
PLACES = {
    "acclimate.data.images.image_folder.ImageFolder": "DIR with one folder of images for each class",
    "acclimate.data.images.image_table.ImageTable": "FILE.csv or FILE.parquet",
    "acclimate.data.images.arrays.Arrays": "FILE.npz",
    "acclimate.data.vectors.vector_tables.VectorTables": "FILE.csv, FILE.parquet or FILE.npz",
}
# Optional packages that loggers need, with extras of the same names.
PACKAGES = {"acclimate.training.trackers.MLflow": "mlflow", "acclimate.training.trackers.WandB": "wandb"}


def uses_several_devices(trainer: Mapping[str, Any]) -> bool:
    """Return True if the configuration of a trainer uses several devices, with one process each.

    >>> uses_several_devices({"devices": [0]}), uses_several_devices({"devices": "0,1"})
    (False, True)
    >>> uses_several_devices({"devices": "auto", "accelerator": "cpu"}), uses_several_devices({"devices": 1, "strategy": "ddp"})
    (False, True)
    """
    if trainer.get("num_nodes", 1) != 1 or str(trainer.get("strategy", "auto")) != "auto":
        return True
    devices = trainer.get("devices", "auto")
    if isinstance(devices, str) and "," in devices:
        # Indices of devices, as in a list: "0," is only the first one.
        devices = [place for place in devices.split(",") if place.strip()]
    if isinstance(devices, list):
        return len(devices) > 1
    if str(devices) not in ("auto", "-1"):
        return str(devices) != "1"
    if trainer.get("accelerator") == "cpu":
        return False
    # Imported only here, because it takes seconds and is rarely needed.
    import torch

    return torch.cuda.device_count() > 1


def refuse_several_devices(config: Mapping[str, Any], what: str) -> None:
    """Refuse several devices, for which Lightning starts the whole command again, which is only right for a single run.

    Raises:
        ConfigError: If the trainer uses several devices.
    """
    if uses_several_devices(config["trainer"]):
        raise ConfigError(f"{what} uses one device at a time. Use trainer=gpu, or start each run separately with trainer=ddp.")


def refuse_missing_files(config: Mapping[str, Any]) -> None:
    """Check, without slow imports, that the files and folders in a configuration exist.

    Raises:
        ConfigError: If one does not exist.
    """
    data = config["data"]
    wanted = PLACES.get(data["_target_"])
    named = {f"data.{key}": (data.get(key), wanted) for key in ("source", "target") if wanted}
    for key, (given, kind) in {**named, "init_from": (config["init_from"], "RUN, a finished run's folder or a checkpoint")}.items():
        for place in given if isinstance(given, list) else [given]:
            if place == "":
                raise ConfigError(f"{key} is empty. Type {key}={kind}; the current folder is {key}=.")
            if place is not None and not Path(place).exists():
                listed = "one of several in " if isinstance(given, list) else ""
                raise ConfigError(
                    f"{listed}{key}={place} is not a folder or a file. Type {key}={kind}. A relative path starts at {Path.cwd()}."
                )


def refuse_missing_packages(config: Mapping[str, Any]) -> None:
    """Check, without importing them, that the optional packages of loggers are installed.

    Raises:
        ConfigError: If one is not, with the extra to install.
    """
    for name, node in config["logger"].items():
        package = PACKAGES.get(node["_target_"]) if isinstance(node, Mapping) else None
        if package and find_spec(package) is None:
            raise ConfigError(
                f"logger.{name} needs the package {package}, which is not installed. Type: pip install 'acclimate[{package}]'."
            )
