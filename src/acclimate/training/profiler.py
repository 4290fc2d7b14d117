"""A profiler without overhead, for runs that configure none."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pytorch_lightning.profilers import Profiler

_NOTHING: AbstractContextManager[Any] = nullcontext()


class NoProfiler(Profiler):
    """Profiler that measures nothing and has no overhead.

    Lightning's `PassThroughProfiler` also measures nothing, but creates a generator for each hook of each callback, more than a
    hundred times in a training step.
    """

    def start(self, action_name: str) -> None:
        pass

    def stop(self, action_name: str) -> None:
        pass

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        return _NOTHING
