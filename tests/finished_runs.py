"""Folders of finished runs, written without training."""

import json
from pathlib import Path

import numpy as np
import yaml
from omegaconf import OmegaConf

from acclimate.selection.model_selection import PREDICTIONS


def write_run(folder: Path, method: str, *overrides: str, accuracy: float | None = None, selection: str = "information", **scores: float):
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True)
    hydra.joinpath("overrides.yaml").write_text(yaml.safe_dump([f"method={method}", *overrides]))
    settings = {"name": method, "seed": 0, "folder": str(folder), "optimizer": {"lr": 0.001}, "trainer": {"log_every_n_steps": 10}}
    config = OmegaConf.merge(settings, OmegaConf.from_dotlist(list(overrides)))
    folder.joinpath("run.json").write_text(json.dumps({"name": method, "config": OmegaConf.to_container(config)}))
    metrics = {"source/test_accuracy": 0.9, "selection/name": selection, "train/seconds": 1.0}
    metrics |= {} if accuracy is None else {"target/test_accuracy": accuracy}
    metrics |= {f"score/{name}": value for name, value in scores.items()}
    folder.joinpath("metrics.json").write_text(json.dumps(metrics))
    return folder


def write_predictions(folder: Path, *classes: int) -> None:
    np.savez(folder / PREDICTIONS, probabilities=np.eye(3, dtype=np.float16)[list(classes)])
