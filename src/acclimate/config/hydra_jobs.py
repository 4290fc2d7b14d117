"""Jobs that Hydra starts from the words of a command: one, or those of a sweep."""

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

# Takes a plain, resolved configuration, and what to call once nothing speaks against the run: it keeps what it was started with.
Job = Callable[[dict[str, Any], Callable[[], None]], float]


def _new_folder(path: str) -> str:
    """`new_folder`; one that cannot be made is left to Hydra, whose error names it."""
    try:
        return str(new_folder(path))
    except OSError:
        return path


OmegaConf.register_new_resolver("new_folder", _new_folder, use_cache=True, replace=True)


def run_with_hydra(arguments: Sequence[str], job: Job) -> None:
    """Composes `train.yaml` with overrides and calls the job, once or, with -m, for every combination.

    Args:
        arguments: Overrides and flags of Hydra.
        job: Returns what a sweep maximises.

    Raises:
        UserError: If the configuration cannot be composed, or for what a job raised, once all have run.
    """
    # Hydra prints errors itself and exits with 1, unless it is asked for the full exception.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    script = sys.argv[0]
    sys.argv = ["acclimate train", *accept_any_key(arguments)]

    failures: list[UserError] = []

    def resolved_job(config: DictConfig) -> float | None:
        # With several devices Lightning starts this very command again for each.
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
                "A process of the sweep was killed, perhaps because memory ran out. Type the same command with resume=true "
                "hydra.sweep.dir=DIR, where DIR is the sweep's folder, to keep what is finished. hydra.launcher.n_jobs=1 takes less memory."
            ) from error
        except (ValueError, RuntimeError):
            # Optuna looks for the best trial even if all have failed, and its grid does not expect the last one to fail.
            sweep.raise_failures()
            raise
        sweep.raise_failures()
    if failures:
        raise failures[0]


def _write_record(folder: Path, config: DictConfig) -> None:
    """What Hydra would write before the job is asked, over the record of a run that may be there."""
    # Here, as a wrong word is to be answered without waiting for torch.
    from acclimate.files.atomic_files import replacing

    settings = HydraConfig.get()
    parts = {"config": config, "hydra": OmegaConf.create({"hydra": settings}), "overrides": settings.overrides.task}
    for name, part in parts.items():
        with replacing(folder / ".hydra" / f"{name}.yaml") as file:
            file.write(OmegaConf.to_yaml(part).encode())
