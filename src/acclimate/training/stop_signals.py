"""Signals that stop a run: Ctrl-C, and those of clusters, containers and closing terminals."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from acclimate.errors import Interrupted

# Slurm can send SIGUSR1 ahead of the time limit (--signal). Windows lacks the last two.
SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


class StopSignals:
    """Context manager in which signals raise `Interrupted`.

    They raise at once or, while `deferred`, when training calls `check` after saving; a second signal always raises at once.
    Python delivers signals to the main thread only, so the context manager does nothing in other threads.

    Attributes:
        received: The first signal that has arrived.
        deferred: True if the first signal waits for `check`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.deferred = False
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
        first, self.received = self.received is None, self.received or signal.Signals(number)
        if not (first and self.deferred):
            raise Interrupted(self.received)


def _receive_in_worker(number: int) -> None:
    """Ignore signals in forked workers except SIGTERM, with which the run ends them; the run gets the other signals itself."""
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
