"""The share of the machine's cores that a job of a sweep uses."""

import logging
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra.core.hydra_config import HydraConfig

from acclimate.files.locks import is_acquired
from acclimate.runs.sweep_states import STATES

log = logging.getLogger(__name__)


@contextmanager
def share_of_machine(config: dict[str, Any], num_threads: int, num_jobs: int | None) -> Iterator[None]:
    """Context manager that limits a job to its share of the cores, for torch and for numerical libraries.

    On CPUs, results depend on the number of threads, by rounding. It is the same with every launcher.

    Args:
        config: The plain, resolved configuration; `data.num_workers` is lowered to the job's share.
        num_threads: Number of threads on a CPU, unless its share is smaller.
        num_jobs: Number of jobs of the sweep; None if it is unknown.
    """
    # Imported here, so that mistakes are reported without waiting for torch.
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    cores = _cores()
    at_once = _jobs_at_once(HydraConfig.get().launcher, cores, num_jobs)
    share = max(cores // at_once, 1)
    on_gpu = config["trainer"].get("accelerator") != "cpu" and torch.cuda.is_available()
    num_threads = share if on_gpu else min(num_threads, share)
    if num_threads < share:
        log.info("This job uses %d of %d threads. OMP_NUM_THREADS=%d uses all.", num_threads, share, share)
    if at_once > 1:
        # Processes of joblib would start the workers of data loaders with joblib's own method, which fails.
        multiprocessing.set_start_method(None, force=True)
        num_workers = config["data"].get("num_workers") or 0
        if num_workers > share - 1:
            log.info("data.num_workers=%d instead of %d: %d jobs share %d cores.", share - 1, num_workers, at_once, cores)
            config["data"]["num_workers"] = share - 1
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        with threadpool_limits(num_threads):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def core_for_job(sweep: Path) -> Iterator[None]:
    """Context manager that waits for a free core, if the launcher starts all jobs at once."""
    if HydraConfig.get().runtime.choices.get("hydra/launcher") != "submitit_local":
        yield
        return
    locks = [FileLock(sweep / STATES / f"core-{number}.lock") for number in range(_cores())]
    while (free := next((lock for lock in locks if is_acquired(lock)), None)) is None:
        time.sleep(0.5)
    try:
        yield
    finally:
        free.release()


def _cores() -> int:
    from joblib import cpu_count  # type: ignore[import-untyped]

    return int(cpu_count())


def _jobs_at_once(launcher: Mapping[str, Any], cores: int, num_jobs: int | None) -> int:
    """Return the number of jobs that a launcher runs at once on a machine.

    >>> _jobs_at_once({"n_jobs": -1}, 8, None), _jobs_at_once({"n_jobs": -1}, 8, 3), _jobs_at_once({"n_jobs": 4}, 2, 8)
    (8, 3, 4)
    >>> name = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"
    >>> _jobs_at_once({"_target_": name}, 2, 8), _jobs_at_once({"ray": {"remote": {"num_cpus": 2}}}, 8, 12), _jobs_at_once({}, 8, 8)
    (2, 4, 1)
    """
    if n_jobs := launcher.get("n_jobs"):
        # As in joblib, a negative number counts from the number of cores.
        at_once = int(n_jobs) if n_jobs > 0 else max(cores + 1 + int(n_jobs), 1)
    elif str(launcher.get("_target_")).endswith(".LocalLauncher"):
        at_once = cores
    elif "ray" in launcher:
        at_once = max(int(cores / ((launcher["ray"].get("remote") or {}).get("num_cpus") or 1)), 1)
    else:
        at_once = 1
    return at_once if num_jobs is None else max(min(at_once, num_jobs), 1)
