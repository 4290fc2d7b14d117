"""The jobs of a sweep: what became of each, and what each takes of the machine."""

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
    """Let Optuna's sweeper look for the highest value and go on after failed trials, unless the user says otherwise."""
    Plugins.instance()
    optuna = ConfigStore.instance().repo["hydra"]["sweeper"].get("optuna.yaml")
    if optuna is not None:
        optuna.node.direction, optuna.node.max_failure_rate = "maximize", 1.0


class Sweep:
    """The jobs of a sweep, which a launcher may run in processes of their own.

    Args:
        notes: An empty folder, to which each job writes what became of it: only a job's value comes back from its process.
    """

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        # Here, because joblib sets the variable in its processes.
        self.num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)

    @staticmethod
    def is_under_way() -> bool:
        """Return whether Hydra runs a job of a sweep, not a single one."""
        return bool(HydraConfig.get().mode == RunMode.MULTIRUN)

    def run_job(self, work: Callable[[], float]) -> float | None:
        """Run a job, whose failure does not keep the others from running.

        Returns:
            What the sweep maximises; None, which sweepers take for a failure, if the job failed or its score is not finite.
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
            note |= {"value": value} if math.isfinite(value) else {"reason": f"Its score is {value}, which compares with no other."}
        except Interrupted as interruption:
            message = f"Stopped by {interruption.number.name}. Continue with the same command and resume=true {again}"
            raise Interrupted(interruption.number, message) from interruption
        except Exception as error:
            expected = isinstance(error, UserError)
            if expected:
                # Otherwise the log is to hold the traceback.
                remove_traces(Path(settings.runtime.output_dir), RUN_TRACES)
            note["reason"] = describe(error) if expected else f"{type(error).__name__}: {describe(error)}"
            log.error("This job failed: %s", error if expected else note["reason"], exc_info=None if expected else error)
        (self.notes / f"{settings.job.num}.json").write_text(json.dumps(note))
        return note["value"]  # type: ignore[no-any-return]

    def raise_failures(self) -> None:
        """Say which jobs failed.

        Raises:
            ConfigError: With the reasons, and the best of the other jobs, if any job did.
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
        message += f"Train what is missing with the same command and resume=true {notes[0]['again']}"
        raise ConfigError(*message.splitlines())

    @contextmanager
    def share_of_machine(self, config: dict[str, Any]) -> Iterator[None]:
        """Keep a job to its share of the cores: inside, torch and numerical libraries use that many threads.

        On the CPU results depend on the number of threads, by rounding. It is OMP_NUM_THREADS, or 1, with every launcher.

        Args:
            config: Plain and resolved; `data.num_workers` is lowered to what jobs that run at once leave to each.
        """
        # Here, as a wrong word is to be answered without waiting for torch.
        import torch
        from joblib import cpu_count  # type: ignore[import-untyped]
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        cores = cpu_count()
        num_jobs = _jobs_at_once(cores)
        share = max(cores // num_jobs, 1)
        on_gpu = config["trainer"].get("accelerator") != "cpu" and torch.cuda.is_available()
        num_threads = share if on_gpu else min(self.num_threads, share)
        if num_threads < share:
            log.info("This job computes in %d threads of %d. OMP_NUM_THREADS=%d takes all.", num_threads, share, share)
        if num_jobs > 1:
            # Processes of joblib would start the workers of data loaders in a way of its own, which fails.
            multiprocessing.set_start_method(None, force=True)
            num_workers = config["data"].get("num_workers") or 0
            if num_workers > share - 1:
                log.info("data.num_workers=%d in place of %d: %d jobs share %d cores.", share - 1, num_workers, num_jobs, cores)
                config["data"]["num_workers"] = share - 1
        before = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        try:
            with threadpool_limits(num_threads):
                yield
        finally:
            torch.set_num_threads(before)


def _jobs_at_once(cores: int) -> int:
    """Return how many jobs the launcher runs at once; like joblib's, a negative `n_jobs` counts from the number of cores."""
    num_jobs = HydraConfig.get().launcher.get("n_jobs") or 1
    return int(num_jobs) if num_jobs > 0 else max(cores + 1 + int(num_jobs), 1)
