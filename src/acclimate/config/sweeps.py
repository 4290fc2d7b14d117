"""The jobs of a sweep: their results, and their share of the machine."""

import json
import logging
import math
import multiprocessing
import os
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode

from acclimate.errors import ConfigError, Interrupted, UserError
from acclimate.files.folders import RUN_TRACES, SWEEP_TRACES, remove_traces
from acclimate.files.printable import describe

log = logging.getLogger(__name__)


def maximise() -> None:
    """Make Optuna's sweeper maximise and continue after failed trials, unless the user sets it otherwise."""
    Plugins.instance()
    optuna = ConfigStore.instance().repo["hydra"]["sweeper"].get("optuna.yaml")
    if optuna is not None:
        optuna.node.direction, optuna.node.max_failure_rate = "maximize", 1.0


class Sweep:
    """The jobs of a sweep, which a launcher may run in separate processes.

    Args:
        notes: An empty folder for the result of each job, because only its value is returned from its process.
    """

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        # Read here, because joblib sets the variable in its processes.
        self.num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)

    @staticmethod
    def is_under_way() -> bool:
        """Return True if Hydra runs a job of a sweep, not a single run."""
        return bool(HydraConfig.get().mode == RunMode.MULTIRUN)

    def run_job(self, work: Callable[[], float]) -> float | None:
        """Run a job; if it fails, the others still run.

        Returns:
            The value that the sweep maximises; None, which sweepers treat as a failure, if the job failed or the value is not
            finite.
        """
        settings = HydraConfig.get()
        again = shlex.quote(f"hydra.sweep.dir={settings.sweep.dir}")
        note: dict[str, Any] = {
            "job": Path(settings.runtime.output_dir).name,
            "again": again,
            "value": None,
            "reason": None,
            "sweep": settings.sweep.dir,
        }
        try:
            value = work()
            note |= {"value": value} if math.isfinite(value) else {"reason": f"Its score is {value}, which cannot be compared."}
        except Interrupted as interruption:
            message = f"Stopped by {interruption.number.name}. Continue with the same command and resume=true {again}"
            raise Interrupted(interruption.number, message) from interruption
        except Exception as error:
            expected = isinstance(error, UserError)
            if expected:
                # Otherwise the log contains the traceback and must be kept.
                remove_traces(Path(settings.runtime.output_dir), RUN_TRACES)
            note["reason"] = describe(error) if expected else f"{type(error).__name__}: {describe(error)}"
            log.error("This job failed: %s", error if expected else note["reason"], exc_info=None if expected else error)
        (self.notes / f"{settings.job.num}.json").write_text(json.dumps(note))
        return note["value"]  # type: ignore[no-any-return]

    def raise_failures(self) -> None:
        """Report failed jobs.

        Raises:
            ConfigError: If any job failed, with the reasons and the best of the other jobs.
        """
        notes = [json.loads(file.read_text()) for file in sorted(self.notes.glob("*.json"), key=lambda file: int(file.stem))]
        jobs = defaultdict(list)
        for note in notes:
            if note["reason"] is not None:
                jobs[note["reason"]].append(note["job"])
        if not jobs:
            return
        reasons = "\n".join(f"{', '.join(names)}: {reason}" for reason, names in jobs.items())
        message = f"{sum(map(len, jobs.values()))} of {len(notes)} jobs failed:\n{reasons}\n"
        finished = [note for note in notes if note["reason"] is None]
        if finished:
            best = max(finished, key=lambda note: note["value"])
            message += f"The best of the others is {best['job']} with {best['value']:.4f}.\n"
        else:
            remove_traces(Path(notes[0]["sweep"]), SWEEP_TRACES)
        message += f"Train the missing jobs with the same command and resume=true {notes[0]['again']}"
        raise ConfigError(*message.splitlines())

    @contextmanager
    def share_of_machine(self, config: dict[str, Any]) -> Iterator[None]:
        """Context manager that limits a job to its share of the cores, for torch and for numerical libraries.

        On CPUs, results depend on the number of threads, by rounding. It is OMP_NUM_THREADS, or 1, with every launcher.

        Args:
            config: The plain, resolved configuration; `data.num_workers` is lowered to the job's share.
        """
        # Imported here, so that mistakes are reported without waiting for torch.
        import torch
        from joblib import cpu_count  # type: ignore[import-untyped]
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        cores = cpu_count()
        num_jobs = _jobs_at_once(cores)
        share = max(cores // num_jobs, 1)
        on_gpu = config["trainer"].get("accelerator") != "cpu" and torch.cuda.is_available()
        num_threads = share if on_gpu else min(self.num_threads, share)
        if num_threads < share:
            log.info("This job uses %d of %d threads. OMP_NUM_THREADS=%d uses all.", num_threads, share, share)
        if num_jobs > 1:
            # Processes of joblib would start the workers of data loaders with joblib's own method, which fails.
            multiprocessing.set_start_method(None, force=True)
            num_workers = config["data"].get("num_workers") or 0
            if num_workers > share - 1:
                log.info("data.num_workers=%d instead of %d: %d jobs share %d cores.", share - 1, num_workers, num_jobs, cores)
                config["data"]["num_workers"] = share - 1
        before = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        try:
            with threadpool_limits(num_threads):
                yield
        finally:
            torch.set_num_threads(before)


def _jobs_at_once(cores: int) -> int:
    """Return the number of jobs that the launcher runs at once; as in joblib, a negative `n_jobs` counts from the number of cores."""
    num_jobs = HydraConfig.get().launcher.get("n_jobs") or 1
    return int(num_jobs) if num_jobs > 0 else max(cores + 1 + int(num_jobs), 1)
