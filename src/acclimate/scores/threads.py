"""Threads of the libraries that scores call."""

import functools
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


def one_thread() -> AbstractContextManager[object]:
    """Inside, BLAS and OpenMP compute in one thread.

    Several threads add up in any order, and rounding would differ from run to run. On a few hundred samples they also take
    longer: where other processes run, each operation waits until all threads had their turn.
    """
    limit: AbstractContextManager[object] = _thread_pools().limit(limits=1)
    return limit


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """The libraries in this process that have threads, which takes longer to find out than to cluster a few hundred samples."""
    return ThreadpoolController()
