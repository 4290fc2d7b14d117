"""The progress of a sweep: a live table in terminals, and lines elsewhere."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from acclimate.files.printable import printable
from acclimate.runs.sweep_states import JobState, best_of, read_states

# Seconds between two updates.
INTERVAL = 0.5
# Order of the rows: jobs that need attention are at the end, next to the summary.
ORDER = ("finished", "pruned", "stopped", "failed", "waiting", "running")


@contextmanager
def watch(
    folder: Path, num_jobs: Callable[[], int | None], *, is_lowest_best: bool | None = False, is_quiet: bool = False
) -> Iterator[None]:
    """Context manager that shows the progress of a sweep from the files in its folder.

    Args:
        folder: The folder of the sweep.
        num_jobs: Function that returns the number of jobs as known so far, or None.
        is_lowest_best: As for `best_of`.
        is_quiet: True to show only failures and warnings.
    """
    # The present standard output, because jobs in this process redirect theirs.
    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
    kind = _Problems if is_quiet else _LiveTable if console.is_terminal else _Lines
    shown = kind(folder, num_jobs, console, is_lowest_best)
    ended = threading.Event()

    def refresh() -> None:
        pause = INTERVAL
        while not ended.wait(pause):
            began = time.thread_time()
            shown.update()
            # With a thousand jobs, reading their states must not take the time of a core.
            pause = max(INTERVAL, 50 * (time.thread_time() - began))

    thread = threading.Thread(target=refresh, daemon=True)
    number = num_jobs()
    size = "" if number is None else f" of {number} {'job' if number == 1 else 'jobs'}"
    if not is_quiet:
        console.print(printable(f"Sweep{size} in {folder}"), soft_wrap=True)
    with shown:
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            shown.update()


class _Lines:
    """A line for each job that begins or ends."""

    def __init__(self, folder: Path, num_jobs: Callable[[], int | None], console: Console, is_lowest_best: bool | None) -> None:
        self.folder = folder
        self.num_jobs = num_jobs
        self.console = console
        self.is_lowest_best = is_lowest_best
        self._last: dict[str, JobState] = {}

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def shows(self, state: JobState) -> bool:
        """Return True if a line is due for a state."""
        return True

    def update(self) -> None:
        """Print what has changed."""
        states = list(read_states(self.folder))
        best = best_of(states, is_lowest_best=self.is_lowest_best)
        for state in states:
            if state != self._last.get(state.job) and self.shows(state):
                for line in _lines(state, summary(states, best, self.num_jobs())):
                    self.console.print(printable(line), soft_wrap=True)
                self._last[state.job] = state


class _Problems(_Lines):
    """A line for each job that fails or has warnings."""

    def shows(self, state: JobState) -> bool:
        return state.state == "failed" or bool(state.warnings)


class _LiveTable(_Lines):
    """A table that is drawn anew, with a row for each job."""

    def __init__(self, folder: Path, num_jobs: Callable[[], int | None], console: Console, is_lowest_best: bool | None) -> None:
        super().__init__(folder, num_jobs, console, is_lowest_best)
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> "_LiveTable":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self) -> None:
        states = list(read_states(self.folder))
        for state in states:
            if state.warnings and state != self._last.get(state.job):
                self._live.console.print(printable(f"{state.job}: {'; '.join(state.warnings)}"), soft_wrap=True)
            self._last[state.job] = state
        best = best_of(states, is_lowest_best=self.is_lowest_best)
        text = Text(printable(summary(states, best, self.num_jobs())))
        self._live.update(Group(_table(states, best, rows=max(self.console.height - 8, 3)), text), refresh=True)


def summary(states: Sequence[JobState], best: JobState | None, num_jobs: int | None) -> str:
    """Return the numbers of jobs by state, the best value so far and the time left."""
    counts = Counter[str](state.state for state in states)
    names = {"finished": "done", "pruned": "pruned", "running": "running", "failed": "failed", "stopped": "stopped"}
    parts = [f"{counts[state]} {name}" for state, name in names.items() if counts[state] or state in ("finished", "running", "failed")]
    waiting = counts["waiting"] + max((num_jobs or 0) - len(states), 0)
    parts = [", ".join([*parts, *([f"{waiting} waiting"] if waiting else [])])]
    if best is not None:
        parts.append(f"best so far {best.value:.4f} ({best.job})")
    if (left := _seconds_left(states, num_jobs)) is not None:
        parts.append(f"about {duration(left)} left")
    return "; ".join(parts)


def duration(seconds: float) -> str:
    """Return a duration in a unit that fits.

    >>> duration(12.3), duration(340), duration(8000)
    ('12 s', '6 min', '2 h 13 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _seconds_left(states: Sequence[JobState], num_jobs: int | None) -> float | None:
    """Estimate the time left from the jobs that this start of the sweep has run; None if there are none, or nothing is left."""
    ended = [state for state in states if state.ended is not None]
    left = 0 if num_jobs is None else num_jobs - sum(state.state not in ("running", "waiting") for state in states)
    return (time.time() - min(state.began for state in ended)) / len(ended) * left if ended and left > 0 else None


def _lines(state: JobState, text: str) -> Iterator[str]:
    if state.state == "waiting":
        return
    if state.state == "running":
        yield f"{state.job}: running"
        return
    took = "" if state.ended is None else f" in {duration(state.ended - state.began)}"
    for warning in state.warnings:
        yield f"{state.job}: Warning: {warning}"
    detail = "" if state.value is None else f" with {state.value:.4f}"
    if state.reason:
        detail = f": {' '.join(state.reason.split()).removesuffix('.')}"
    yield f"{state.job}: {'already ' if not took and state.state in ('finished', 'pruned') else ''}{state.state}{took}{detail}. {text}"


def _table(states: Sequence[JobState], best: JobState | None, *, rows: int) -> Table:
    """Return a table of the states; finished jobs that do not fit are left out, oldest first."""
    ordered = sorted(states, key=lambda state: ORDER.index(state.state))
    table = Table()
    table.add_column("job", overflow="fold")
    table.add_column("state")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for state in ordered[-rows:]:
        ends = time.time() if state.state in ("running", "waiting") else state.ended
        table.add_row(
            printable(state.job),
            "done" if state.state == "finished" else state.state,
            "" if ends is None else duration(ends - state.began),
            "" if state.value is None else f"{state.value:.4f}",
            "best so far" if best is not None and state.job == best.job else printable(" ".join((state.reason or "").split())),
        )
    return table
