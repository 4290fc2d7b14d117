"""Jobs started by Hydra: a single run, or those of a sweep."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from acclimate.cli.cores import share_of_machine
from acclimate.cli.sweeps import Sweep
from acclimate.config.compose import resolve
from acclimate.config.groups import conf_dir
from acclimate.config.machine import refuse_several_devices
from acclimate.config.override_errors import UNREADABLE, explain
from acclimate.config.overrides import accept_any_key
from acclimate.config.sweep_names import sweep_name
from acclimate.errors import ConfigError, UserError
from acclimate.files.folders import RUN_TRACES, new_folder, remove_traces

# A function of a plain, resolved configuration and of a function to call after all checks pass, which saves the configuration.
Job = Callable[[dict[str, Any], Callable[[], None]], float]
# Shows a sweep while it runs. It takes the folder, a function that returns the number of jobs or None, and whether the lowest value
# is the best, as for `best_of`.
Watch = Callable[[Path, Callable[[], int | None], bool | None], AbstractContextManager[None]]


def _new_folder(path: str) -> str:
    """Create a new folder; if that fails, return the path, so that Hydra reports the error."""
    try:
        return str(new_folder(path))
    except OSError:
        return path


@contextmanager
def unwatched(folder: Path, num_jobs: Callable[[], int | None], is_lowest_best: bool | None) -> Iterator[None]:
    """Context manager that shows nothing of a sweep."""
    yield


class Jobs:
    """The function that Hydra calls for each job, possibly in another process.

    Args:
        arguments: Overrides and flags as typed.
        job: The job.
        watch: Shows a sweep.
    """

    def __init__(self, arguments: Sequence[str], job: Job, watch: Watch) -> None:
        self.arguments = arguments
        self.job = job
        self.watch = watch
        self.sweep = Sweep(arguments)
        self.failures: list[UserError] = []
        self._script = sys.argv[0]

    def __call__(self, config: DictConfig) -> float | None:
        # With several devices, Lightning starts this command again for each of them.
        sys.argv = [self._script, "train", *self.arguments]
        if self.sweep.is_under_way():
            return self.sweep.run_job(lambda: self._resolve(config), lambda plain: self._run_in_sweep(plain, config))
        try:
            return self._run(self._resolve(config), config)
        except UserError as error:
            self.failures.append(error)
            remove_traces(Path(HydraConfig.get().runtime.output_dir), RUN_TRACES)
            return None

    def _run_in_sweep(self, plain: dict[str, Any], config: DictConfig) -> float:
        with share_of_machine(plain, self.sweep.num_threads, self.sweep.num_jobs):
            return self._run(plain, config)

    def _run(self, plain: dict[str, Any], config: DictConfig) -> float:
        return self.job(plain, lambda: _write_record(Path(plain["folder"]), config))

    def _resolve(self, config: DictConfig) -> dict[str, Any]:
        plain = resolve(config)
        plain["name"] = plain.get("name") or HydraConfig.get().runtime.choices["method"]
        if self.sweep.is_under_way():
            refuse_several_devices(plain, "A sweep")
        return plain


def run_with_hydra(arguments: Sequence[str], job: Job, watch: Watch = unwatched) -> None:
    """Compose `train.yaml` with overrides and call a job, once or, with -m, for every combination of values.

    Args:
        arguments: Overrides and flags of Hydra.
        job: Function that returns the value that a sweep maximises.
        watch: Context manager that shows a sweep.

    Raises:
        UserError: If the configuration cannot be composed, or if jobs failed, after all have run.
    """
    if "${" in str(Path.cwd()):
        reason = (
            "because Hydra reads ${ in the path of the folder as an interpolation. Change to another one, and name the data from there."
        )
        raise ConfigError(f"acclimate train does not work in {Path.cwd()}, {reason}")
    # Otherwise Hydra prints errors itself and exits with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    jobs = Jobs(arguments, job, watch)
    sys.argv = ["acclimate train", *accept_any_key(arguments)]
    # Cached results of resolvers are passed to the processes of jobs.
    OmegaConf.register_new_resolver("new_folder", _new_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("sweep_name", lambda: sweep_name(arguments), use_cache=True, replace=True)
    _prefer_shipped_plug_ins()
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(jobs)()
    except UNREADABLE as error:
        raise ConfigError(*explain(error).splitlines()) from error
    except ValueError as error:
        if not str(error).startswith("Only one of --run, --multirun, --cfg"):
            raise
        raise ConfigError(
            "A sweep (-m) has no single configuration to show. Leave out -m, and give each key one value: acclimate train seed=1 --cfg job."
        ) from error
    if jobs.failures:
        raise jobs.failures[0]


def _prefer_shipped_plug_ins() -> None:
    """Remove configs of the same names from the packages of launchers and sweepers, with which Hydra would merge those in `conf/`."""
    Plugins.instance()
    for file in (conf_dir() / "hydra").rglob("*.yaml"):
        *groups, name = file.relative_to(conf_dir()).parts
        stored = ConfigStore.instance().repo
        for group in groups:
            stored = stored.get(group, {})
        stored.pop(name, None)


def _write_record(folder: Path, config: DictConfig) -> None:
    """Write the files that Hydra would write before the job starts, possibly over those of another run."""
    # Imported here, so that mistakes are reported without waiting for torch.
    from acclimate.files.atomic_files import replacing

    settings = HydraConfig.get()
    parts = {"config": config, "hydra": OmegaConf.create({"hydra": settings}), "overrides": settings.overrides.task}
    for name, part in parts.items():
        with replacing(folder / ".hydra" / f"{name}.yaml") as file:
            file.write(OmegaConf.to_yaml(part).encode())
