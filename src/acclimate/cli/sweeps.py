"""The jobs of a sweep, in the process that runs them."""

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from acclimate.cli.cores import core_for_job
from acclimate.cli.stopping import stopped_with_sweep
from acclimate.config.identity import EPOCHS, STEPS, differing, identity
from acclimate.errors import ConfigError, DataError, Interrupted, Pruned, UserError, command
from acclimate.files.folders import RUN_TRACES, remove_traces
from acclimate.files.locks import is_acquired
from acclimate.files.printable import printable_error
from acclimate.runs.record import has_record, read_record
from acclimate.runs.sweep_states import JobState, write_state

log = logging.getLogger(__name__)

# Others handle failures of jobs themselves.
SWEEPERS = ("grid", "optuna")


class Warnings(logging.Handler):
    """Handler that keeps the warnings of a job."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # The reason of a failure is in the state.
        if record.name != __name__:
            self.found.append(record.getMessage())


class Sweep:
    """The jobs of a sweep. Launchers pickle it to run jobs in other processes.

    Args:
        arguments: The arguments of `acclimate train`, which continue the sweep when they are typed again.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)
        self._process = os.getpid()
        # Read here, because joblib sets the variable in its processes.
        self.num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
        # Set when jobs are launched.
        self.num_jobs: int | None = None
        self.names_folders = any(text.startswith("hydra.sweep.subdir=") for text in arguments)
        # With resume=true, settings may change as for a single run.
        self.accepts_changes = "resume=true" in [text.lower() for text in arguments]

    @staticmethod
    def is_under_way() -> bool:
        """Return True if Hydra runs a job of a sweep, not a single run."""
        return bool(HydraConfig.get().mode == RunMode.MULTIRUN)

    @property
    def again(self) -> str:
        """The command that continues the sweep."""
        return command("train", *self.arguments)

    def run_job(self, compose: Callable[[], dict[str, Any]], work: Callable[[dict[str, Any]], float]) -> float | None:
        """Run a job, with its output in its log; if it fails, the others still run.

        Args:
            compose: Function that returns the plain, resolved configuration.
            work: The job, a function of the configuration.

        Returns:
            The value that the sweep maximises; None, which sweepers treat as a failure, if the job failed or the value is not
            finite.

        Raises:
            Interrupted: If a signal stopped the job in the process that launches the jobs.
        """
        settings = HydraConfig.get()
        sweep, folder = Path(settings.sweep.dir), Path(settings.runtime.output_dir)
        job = os.path.relpath(folder, sweep.absolute())
        if os.getpid() == self._process:
            return self._run(sweep, folder, job, compose, work)
        try:
            with stopped_with_sweep(sweep, job):
                return self._run(sweep, folder, job, compose, work)
        except Interrupted:
            # An exception would make launchers end the other processes at once.
            return None

    def _run(
        self, sweep: Path, folder: Path, job: str, compose: Callable[[], dict[str, Any]], work: Callable[[dict[str, Any]], float]
    ) -> float | None:
        state = JobState(job, "running", time.time())
        warnings = Warnings()
        write_state(sweep, state._replace(state="waiting"))
        try:
            with _output_in(folder / "train.log", warnings), core_for_job(sweep):
                _wait_for(folder)
                state = state._replace(began=time.time())
                write_state(sweep, state)
                config = compose()
                self._continue(folder, config)
                value = work(config)
            state = state._replace(state="finished", value=value)
            if not math.isfinite(value):
                state = state._replace(state="failed", value=None, reason=f"Its score is {value}, which cannot be compared.")
        except (Interrupted, KeyboardInterrupt) as interruption:
            number = interruption.number if isinstance(interruption, Interrupted) else signal.SIGINT
            write_state(sweep, state._replace(state="stopped", ended=time.time()))
            raise Interrupted(number, self.stopped_by(number)) from interruption
        except Pruned as pruned:
            state = state._replace(state="pruned", reason=str(pruned))
        except Exception as error:
            if HydraConfig.get().runtime.choices["hydra/sweeper"] not in SWEEPERS:
                raise
            if isinstance(error, UserError):
                # Otherwise the log contains the traceback and must be kept.
                remove_traces(folder, RUN_TRACES)
            kept = folder / "train.log"
            state = state._replace(state="failed", reason=_reason(error), log=os.path.relpath(kept) if kept.exists() else None)
        write_state(sweep, state._replace(ended=time.time(), warnings=tuple(warnings.found)))
        return state.value

    def stopped_by(self, number: signal.Signals) -> str:
        """Return the message about a signal that stopped the sweep."""
        return f"Stopped by {number.name}. Continue the sweep with the same command: {self.again}"

    def _continue(self, folder: Path, config: dict[str, Any]) -> None:
        """Set a job to continue what is in its folder, if that has the same settings.

        Raises:
            ConfigError: If it has others, for example because defaults have changed since.
        """
        if has_record(folder) and not self.accepts_changes:
            try:
                record = read_record(folder)
            except DataError as error:
                raise ConfigError(f"{error} Remove the folder {os.path.relpath(folder)} to train this job anew.") from error
            there, here = identity(record.config), identity(config)
            # Keys that exist in only one of two versions are ignored.
            keys = [key for key in differing(there, here) if key in there and key in here]
            if keys:
                others = ", ".join(f"{key}={here[key]} ({there[key]} there)" for key in keys)
                raise ConfigError(
                    f"{os.path.relpath(folder)} contains a run with other settings: {others}. "
                    "Choose another folder for the sweep: hydra.sweep.dir=DIR."
                    + (" hydra.sweep.subdir must name another folder for each job." if self.names_folders else "")
                    + (" To train these runs for longer, add resume=true." if set(keys) <= {EPOCHS, STEPS} else "")
                )
        config["resume"] = True


@contextmanager
def _output_in(file: Path, *handlers: logging.Handler) -> Iterator[None]:
    """Context manager that sends the output of a job to its log, because the console shows the sweep."""
    consoles = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    _exchange(consoles, handlers)
    try:
        with file.open("a", buffering=1, errors="backslashreplace") as text, redirect_stdout(text), redirect_stderr(text):
            try:
                yield
            except Pruned as pruned:
                log.info("Pruned %s.", pruned)
                raise
            except Exception as error:
                log.error("This job failed: %s", _reason(error), exc_info=None if isinstance(error, UserError) else error)
                raise
    finally:
        _exchange(handlers, consoles)


def _exchange(former: Sequence[logging.Handler], present: Sequence[logging.Handler]) -> None:
    root = logging.getLogger()
    for handler in former:
        root.removeHandler(handler)
    for handler in present:
        root.addHandler(handler)


def _reason(error: Exception) -> str:
    return printable_error(error) if isinstance(error, UserError) else f"{type(error).__name__}: {printable_error(error)}"


def _wait_for(folder: Path) -> None:
    """Wait for another process that trains the same job, such as one that has outlived an earlier start of the sweep."""
    lock = FileLock(folder / ".lock")
    if not is_acquired(lock):
        log.info("Another process is using %s: waiting for it.", folder)
        lock.acquire()
    lock.release()
