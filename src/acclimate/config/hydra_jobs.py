"""Jobs started by Hydra: a single run, or those of a sweep."""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from acclimate.config.check import check_config
from acclimate.config.compose import resolve
from acclimate.config.groups import conf_dir
from acclimate.config.machine import refuse_several_devices
from acclimate.config.overrides import accept_any_key, explain
from acclimate.config.sweeps import Sweep, maximise
from acclimate.errors import ConfigError, UserError
from acclimate.files.folders import RUN_TRACES, new_folder, remove_traces

# A function of a plain, resolved configuration and of a function to call after all checks pass, which saves the configuration.
Job = Callable[[dict[str, Any], Callable[[], None]], float]


def _new_folder(path: str) -> str:
    """Create a new folder; if that fails, return the path, so that Hydra reports the error."""
    try:
        return str(new_folder(path))
    except OSError:
        return path


OmegaConf.register_new_resolver("new_folder", _new_folder, use_cache=True, replace=True)


def run_with_hydra(arguments: Sequence[str], job: Job) -> None:
    """Compose `train.yaml` with overrides and call a job, once or, with -m, for every combination of values.

    Args:
        arguments: Overrides and flags of Hydra.
        job: Function that returns the value that a sweep maximises.

    Raises:
        UserError: If the configuration cannot be composed, or if jobs failed, after all have run.
    """
    # Otherwise Hydra prints errors itself and exits with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    script = sys.argv[0]
    sys.argv = ["acclimate train", *accept_any_key(arguments)]

    failures: list[UserError] = []

    def resolved_job(config: DictConfig) -> float | None:
        # With several devices, Lightning starts this command again for each of them.
        sys.argv = [script, "train", *arguments]

        def work() -> float:
            plain = resolve(config)
            plain["name"] = plain.get("name") or HydraConfig.get().runtime.choices["method"]
            share: AbstractContextManager[None] = nullcontext()
            if Sweep.is_under_way():
                check_config(plain)
                refuse_several_devices(plain, "A sweep")
                share = sweep.share_of_machine(plain)
            with share:
                return job(plain, lambda: _write_record(Path(plain["folder"]), config))

        if Sweep.is_under_way():
            return sweep.run_job(work)
        try:
            return work()
        except UserError as error:
            failures.append(error)
            remove_traces(Path(HydraConfig.get().runtime.output_dir), RUN_TRACES)
            return None

    maximise()
    with tempfile.TemporaryDirectory() as notes:
        sweep = Sweep(Path(notes))
        try:
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(resolved_job)()
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(explain(error)) from error
        except BrokenProcessPool as error:
            raise ConfigError(
                "A process of the sweep was killed, possibly because memory ran out. Type the same command with resume=true "
                "hydra.sweep.dir=DIR, where DIR is the sweep's folder, to keep finished jobs. hydra.launcher.n_jobs=1 needs less memory."
            ) from error
        except (ValueError, RuntimeError):
            # Optuna fails if all trials, or the last one of a grid, have failed.
            sweep.raise_failures()
            raise
        sweep.raise_failures()
    if failures:
        raise failures[0]


def _write_record(folder: Path, config: DictConfig) -> None:
    """Write the files that Hydra would write before the job starts, possibly over those of another run."""
    # Imported here, so that mistakes are reported without waiting for torch.
    from acclimate.files.atomic_files import replacing

    settings = HydraConfig.get()
    parts = {"config": config, "hydra": OmegaConf.create({"hydra": settings}), "overrides": settings.overrides.task}
    for name, part in parts.items():
        with replacing(folder / ".hydra" / f"{name}.yaml") as file:
            file.write(OmegaConf.to_yaml(part).encode())
