"""Signals that stop a run: Ctrl-C, and those of clusters, containers and closing terminals."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from acclimate.errors import Interrupted

SECONDS_OF_REPEATS = 1.0
# Slurm can send SIGUSR1 ahead of the time limit (--signal). Windows lacks the last two.
SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


class StopSignals:
    """Context manager in which signals raise `Interrupted`.

    They raise at once or, while `deferred`, when training calls `check` after saving; a second signal always raises at once.
    The same signal within a second counts once, because programs that start others forward signals that these have received, too.
    Python delivers signals to the main thread only, so the context manager does nothing in other threads.

    Args:
        before: Called with the first signal before it raises.

    Attributes:
        received: The first signal that has arrived, here or in a context manager within this one.
        deferred: True if the first signal waits for `check`.
    """

    def __init__(self, before: Callable[[signal.Signals], None] | None = None) -> None:
        self.received: signal.Signals | None = None
        self.deferred = False
        self._before = before
        self._received_at = 0.0
        self._process = os.getpid()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def install(self) -> None:
        """Set the handlers, also again after something else, such as Lightning, has replaced them."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            handler = signal.getsignal(number)
            # nohup makes processes ignore the closing of their terminal.
            if handler is not None and not (number.name == "SIGHUP" and handler == signal.SIG_IGN):
                self._previous.setdefault(number, handler)
                signal.signal(number, self._receive)

    def check(self) -> None:
        """Raise if a signal has arrived.

        Raises:
            Interrupted: If a signal has arrived.
        """
        if self.received is not None:
            raise Interrupted(self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            _receive_in_worker(number)
            return
        first, repeated = self._note(signal.Signals(number))
        if first and self._before is not None and not self.deferred:
            self._before(signal.Signals(number))
        if not repeated and not (first and self.deferred):
            raise Interrupted(self.received or signal.Signals(number))

    def _note(self, number: signal.Signals) -> tuple[bool, bool]:
        """Note a signal, also for the context managers around this one; return whether it is the first one, or a repetition of it."""
        outer = getattr(self._previous.get(number), "__self__", None)
        if isinstance(outer, StopSignals):
            outer._note(number)
        if self.received is None:
            self.received, self._received_at = number, time.monotonic()
            return True, False
        return False, number == self.received and time.monotonic() - self._received_at < SECONDS_OF_REPEATS


def _receive_in_worker(number: int) -> None:
    """Ignore signals in forked workers except SIGTERM, with which the run ends them; the run gets the other signals itself."""
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
