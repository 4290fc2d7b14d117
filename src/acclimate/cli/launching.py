"""A sweep in the process that launches its jobs: its folder, finished jobs, and the report of failures."""

import io
import signal
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from acclimate.cli.hydra_jobs import Jobs
from acclimate.cli.planned_jobs import Plan, job_return, known_result
from acclimate.cli.stopping import stopping_jobs
from acclimate.cli.sweep_mistakes import mistake_in, refuse_folder_of_run, summary_of
from acclimate.cli.sweep_report import failures
from acclimate.config.compose import resolve
from acclimate.config.identity import digest, identity_with
from acclimate.config.sweep_names import job_name
from acclimate.errors import ConfigError, Interrupted, StorageError, UserError
from acclimate.files.folders import SWEEP_TRACES, remove_traces
from acclimate.runs.record import METRICS, RECORD, read_record
from acclimate.runs.sweep_states import STATES, JobState, best_of, clear_states, read_states, write_state

# Seconds for which processes that are about to end may still keep the sweep's folder.
GRACE = 3.0


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
        self.launcher_name: str = config.hydra.runtime.choices["hydra/launcher"]
        self.counts_trials = "n_trials" in config.hydra.sweeper
        self.is_lowest_best: bool | None = config.hydra.sweeper.get("direction") == "minimize"
        self.varying: Collection[str] = ()
        self._planned: dict[str, Plan] = {}
        self._finished: dict[str, JobReturn] = {}
        self._num_repeated = 0
        self._problem: Exception | None = None
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
        refuse_folder_of_run(self.sweep.arguments)
        self.varying, self.sweep.num_jobs = varying, num_jobs
        if self.config.selection.get("score", True) is None or any(key.lstrip("+").split(".")[0] == "selection" for key in varying):
            self.is_lowest_best = None
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
            with self.watch(self.folder, self.num_jobs, self.is_lowest_best):
                yield
            self._raise_failures()
        except (Interrupted, KeyboardInterrupt) as interruption:
            number = interruption.number if isinstance(interruption, Interrupted) else signal.SIGINT
            raise Interrupted(number, self.sweep.stopped_by(number)) from interruption
        except StorageError as error:
            raise StorageError(*error.args, f"Then continue the sweep with the same command: {self.sweep.again}") from error
        finally:
            lock.release()
            if not any(self.folder.rglob(RECORD)):
                clear_states(self.folder)
                remove_traces(self.folder, SWEEP_TRACES)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return the configuration of a job."""
        return self.context.config_loader.load_sweep_config(self.config, list(overrides))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Launch jobs as launchers do, each once, without those that are finished or have mistakes.

        Raises:
            UserError: If all jobs of the sweep have mistakes, or one cannot be composed.
        """
        plans = [self._plan(list(overrides), initial_job_idx + number) for number, overrides in enumerate(job_overrides)]
        if self.counts_trials:
            # A search may choose the same values again.
            self._num_repeated += len(plans) - len({plan.name for plan in plans} - self._planned.keys())
        jobs = {plan.name: plan for plan in plans}
        self._planned |= jobs
        mistakes = {name: plan.mistake for name, plan in jobs.items() if plan.mistake}
        if len(mistakes) == self.num_jobs():
            raise summary_of(mistakes)
        found = {name: self._finished.get(name) or self._known_result(plan) for name, plan in jobs.items()}
        waiting = [plan.overrides for name, plan in jobs.items() if found[name] is None]
        launched = iter(self._launch(waiting, initial_job_idx) if waiting else [])
        returned = {name: next(launched) if result is None else result for name, result in found.items()}
        self._finished |= {name: result for name, result in returned.items() if result.return_value is not None}
        return [returned[plan.name] for plan in plans]

    def show_pruned(self, job_overrides: Sequence[Sequence[str]]) -> None:
        """Show jobs that the pruner of a search has ended before; they are not launched."""
        if self.names_jobs:
            plans = [self._plan(list(overrides), 0) for overrides in job_overrides]
            self._planned |= {plan.name: plan for plan in plans}
            for plan in plans:
                write_state(self.folder, JobState(plan.name, "pruned", self.folder.stat().st_mtime))

    def num_jobs(self) -> int | None:
        """Return the number of different jobs, as far as it is known."""
        return None if self.sweep.num_jobs is None else self.sweep.num_jobs - self._num_repeated

    def check(self, overrides: Sequence[str]) -> tuple[dict[str, Any] | None, UserError | None]:
        """Return the plain configuration of a job, None if it cannot be resolved, and the mistake in it, or None."""
        config = self.compose(overrides)
        with open_dict(config):
            del config["hydra"]
            # Jobs may start from others in the sweep's folder.
            config.folder = str(self.folder / STATES)
        try:
            plain = resolve(config)
        except UserError as error:
            return None, error
        return plain, mistake_in(plain, self.launcher_name)

    def _plan(self, overrides: list[str], number: int) -> Plan:
        """Return a job with its name and its configuration."""
        plain, mistake = self.check(overrides)
        if not self.names_jobs:
            return Plan(str(number), overrides, plain, mistake)
        name = job_name(overrides, self.varying)
        if plain is not None and not (self.folder / name / RECORD).exists():
            # What varied when that run was started may have been something else.
            name = self._runs.get(digest(identity_with(plain, self.varying)), name)
        return Plan(name, [*overrides, f"hydra.sweep.subdir='{name}'"], plain, mistake)

    def _known_result(self, plan: Plan) -> JobReturn | None:
        return known_result(plan, self.folder, accepts_changes=self.sweep.accepts_changes) if self.names_jobs else None

    @cached_property
    def _runs(self) -> dict[str, str]:
        """Folders of the runs that the sweep had when this start of it began, by digests of their settings."""
        found = {}
        for file in sorted(self.folder.glob(f"*/{RECORD}"), key=lambda file: (file.parent / METRICS).exists()):
            with suppress(UserError):
                config = read_record(file.parent).config
                found[digest(identity_with(config, self.varying))] = file.parent.name
        return found

    def _launch(self, jobs: list[list[str]], first: int) -> Sequence[JobReturn]:
        """Launch jobs; if the launcher or their processes end before them, they have failed."""
        if self.launcher_name == "ray":
            _start_ray(self.config.hydra.launcher.ray.init)
        try:
            with stopping_jobs(self.folder, self.launcher_name):
                returned = list(self.launcher.launch(jobs, initial_job_idx=first))
                # Hydra prints the overrides of a job that could not even write its state.
                with redirect_stderr(io.StringIO()):
                    for one in returned:
                        _ = one.return_value
                return returned
        except UserError:
            raise
        except Exception as error:
            self._problem = error
            reason = (
                f"Its process ended before it ({type(error).__name__}), possibly because memory ran out. "
                "Fewer jobs at once need less, for example hydra.launcher.n_jobs=1."
            )
            for state in read_states(self.folder):
                if state.state in ("running", "waiting"):
                    write_state(self.folder, state._replace(state="failed", reason=reason))
            return [job_return(None)] * len(jobs)

    def _raise_failures(self) -> None:
        """Report failed jobs.

        Raises:
            ConfigError: If any job failed, with the reasons, the best of the other jobs, and how to go on.
        """
        states = list(read_states(self.folder))
        error = self._problem
        lines = failures(
            states,
            jobs=self._planned,
            mistaken=[name for name, plan in self._planned.items() if plan.mistake],
            best=best_of(states, is_lowest_best=self.is_lowest_best),
            reason=None if error is None else f"hydra/launcher={self.launcher_name} ended with {type(error).__name__}: {error}",
            folder=self.folder,
            arguments=self.sweep.arguments,
        )
        if report := list(lines):
            raise ConfigError(*report) from error


def _start_ray(options: DictConfig) -> None:
    """Start Ray before its launcher does, because it replaces the handlers of signals."""
    import ray

    if not ray.is_initialized():
        # The size of the launcher: results of jobs are small.
        ray.init(**{"object_store_memory": 78643200, **OmegaConf.to_container(options, resolve=True)})  # type: ignore[dict-item]
