"""A sweep in the process that launches its jobs: its folder, finished jobs, and the report of failures."""

import importlib.util
import json
import logging
import math
import signal
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from acclimate.cli.hydra_jobs import Jobs
from acclimate.cli.stopping import stopping_jobs
from acclimate.config.compose import resolve
from acclimate.config.identity import digest, identity
from acclimate.config.overrides import missing_plug_in
from acclimate.config.sweep_names import job_name
from acclimate.errors import ConfigError, Interrupted, UserError
from acclimate.files.folders import SWEEP_TRACES, remove_traces
from acclimate.runs.record import METRICS, RECORD, read_metrics
from acclimate.runs.sweep_states import JobState, clear_states, read_states, write_state

log = logging.getLogger(__name__)

# Seconds for which processes that are about to end may still keep the sweep's folder.
GRACE = 3.0


def refuse_missing_launcher(config: DictConfig) -> None:
    """Check that the launcher is installed.

    Raises:
        ConfigError: If it is not, with the extra to install.
    """
    if config.hydra.launcher._target_ not in Plugins.instance().class_name_to_class:
        raise ConfigError(missing_plug_in("hydra/launcher", config.hydra.runtime.choices["hydra/launcher"]))


def refuse_missing_optuna() -> None:
    """Check that Optuna is installed.

    Raises:
        ConfigError: If it is not, with the extra to install.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(missing_plug_in("hydra/sweeper", "optuna"))


class Launch:
    """The jobs of a sweep on their way to a launcher.

    Args:
        jobs: The function that Hydra calls for each job.
        launcher: A launcher of Hydra.
        context: Hydra's context, which composes the configuration of a job.
        config: The configuration of the sweep.
    """

    def __init__(self, jobs: Jobs, launcher: Any, context: HydraContext, config: DictConfig) -> None:
        self.sweep = jobs.sweep
        self.watch = jobs.watch
        self.launcher = launcher
        self.context = context
        self.config = config
        self.folder = Path(config.hydra.sweep.dir)
        self.varying: Collection[str] = ()
        self._num_launched = 0
        # Users may name the folders of jobs themselves.
        self.names_jobs = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"] == "${hydra:job.override_dirname}"  # type: ignore[index,call-overload]

    @contextmanager
    def running(self, varying: Collection[str], num_jobs: int | None) -> Iterator[None]:
        """Context manager for a whole sweep, which locks and shows it, and reports its failures.

        Args:
            varying: Keys that vary between jobs.
            num_jobs: Number of jobs.

        Raises:
            ConfigError: If any job failed, or another sweep is using the folder.
        """
        self.varying, self.sweep.num_jobs = varying, num_jobs
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=GRACE)
        except Timeout:
            raise ConfigError(
                f"Another sweep is running in {self.folder}. Wait for it, or choose another folder: hydra.sweep.dir=DIR."
            ) from None
        try:
            clear_states(self.folder)
            with self.watch(self.folder, num_jobs):
                yield
            self._raise_failures()
        except (Interrupted, KeyboardInterrupt) as interruption:
            number = interruption.number if isinstance(interruption, Interrupted) else signal.SIGINT
            raise Interrupted(number, self.sweep.stopped_by(number)) from interruption
        finally:
            lock.release()
            if not any(self.folder.rglob(RECORD)):
                clear_states(self.folder)
                remove_traces(self.folder, SWEEP_TRACES)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return the configuration of a job."""
        return self.context.config_loader.load_sweep_config(self.config, list(overrides))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Launch jobs as launchers do, except for those that are finished already; a mistake in any is reported before."""
        jobs = [list(overrides) for overrides in job_overrides]
        self._num_launched += len(jobs)
        if self.names_jobs:
            names = [job_name(overrides, self.varying) for overrides in jobs]
            jobs = [[*overrides, f"hydra.sweep.subdir='{name}'"] for overrides, name in zip(jobs, names, strict=True)]
            found = [self._finished(self.compose(overrides), name) for overrides, name in zip(jobs, names, strict=True)]
        else:
            found = [None for overrides in jobs if self.compose(overrides)]
        waiting = [overrides for overrides, finished in zip(jobs, found, strict=True) if finished is None]
        launched = iter(self._launch(waiting, initial_job_idx) if waiting else [])
        return [next(launched) if finished is None else finished for finished in found]

    def show_pruned(self, job_overrides: Sequence[Sequence[str]]) -> None:
        """Show jobs that the pruner of a search has ended before; they are not launched."""
        if self.names_jobs:
            self._num_launched += len(job_overrides)
            for overrides in job_overrides:
                write_state(self.folder, JobState(job_name(overrides, self.varying), "pruned", self.folder.stat().st_mtime))

    def _launch(self, jobs: list[list[str]], first: int) -> Sequence[JobReturn]:
        """Launch jobs; if their processes end before them, they have failed."""
        launcher = self.config.hydra.runtime.choices["hydra/launcher"]
        if launcher == "ray":
            _start_ray(self.config.hydra.launcher.ray.init)
        try:
            with stopping_jobs(self.folder, launcher):
                return list(self.launcher.launch(jobs, initial_job_idx=first))
        except UserError:
            raise
        except Exception as error:
            log.debug("The launcher failed.", exc_info=error)
            reason = (
                f"Its process ended before it ({type(error).__name__}), possibly because memory ran out. "
                "Fewer jobs at once need less, for example hydra.launcher.n_jobs=1."
            )
            states = list(read_states(self.folder))
            for state in states:
                if state.state in ("running", "waiting"):
                    write_state(self.folder, state._replace(state="failed", reason=reason))
            if not states:
                raise
            return [_returned(None)] * len(jobs)

    def _raise_failures(self) -> None:
        """Report failed jobs.

        Raises:
            ConfigError: If any job failed, with the reasons and the best of the other jobs.
        """
        states = list(read_states(self.folder))
        finished = [state for state in states if state.state == "finished"]
        missing = [state for state in states if state.state not in ("finished", "pruned")]
        num_missing = max(self._num_launched - len(states), 0) + len(missing)
        if not num_missing:
            return
        jobs = defaultdict(list)
        for state in missing:
            jobs[state.reason or ("It was stopped." if state.state == "stopped" else "It has not ended.")].append(state)
        lines = [f"{num_missing} of {max(self._num_launched, len(states))} jobs failed:"]
        for reason, failed in jobs.items():
            lines += f"{'; '.join(state.job for state in failed)}: {reason}".splitlines()
            lines += [f"  Log: {state.log}" for state in failed if state.log]
        if len(states) < self._num_launched:
            lines.append(f"{self._num_launched - len(states)} jobs have not begun.")
        if finished:
            best = max(finished, key=lambda state: state.value or -math.inf)
            lines.append(f"The best of the others is {best.job} with {best.value:.4f}.")
        raise ConfigError(*lines, f"Train the missing jobs with the same command: {self.sweep.again}")

    def _finished(self, config: DictConfig, name: str) -> JobReturn | None:
        """Return the result of a finished job; None if it has other settings, or is not finished."""
        folder = self.folder / name
        if self.sweep.accepts_changes or not (folder / METRICS).exists():
            return None
        try:
            with open_dict(config):
                del config["hydra"]
                config.folder = str(folder)
            if json.loads((folder / RECORD).read_text())["identity"] != digest(identity(resolve(config))):
                return None
            value = float(read_metrics(folder)["selection/value"])
        except (UserError, OSError, ValueError, KeyError):
            # The job itself reports what is wrong.
            return None
        write_state(self.folder, JobState(name, "finished", folder.stat().st_mtime, value=value))
        return _returned(value)


def _start_ray(options: DictConfig) -> None:
    """Start Ray before its launcher does, because it replaces the handlers of signals."""
    import ray

    if not ray.is_initialized():
        # The size of the launcher: results of jobs are small.
        ray.init(**{"object_store_memory": 78643200, **OmegaConf.to_container(options, resolve=True)})  # type: ignore[dict-item]


def _returned(value: float | None) -> JobReturn:
    returned = JobReturn()
    returned.status, returned.return_value = JobStatus.COMPLETED, value
    return returned
