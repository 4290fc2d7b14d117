"""The progress of a sweep: a live table in terminals, and lines elsewhere."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from acclimate.files.printable import printable
from acclimate.runs.sweep_states import JobState, read_states

# Seconds between two updates.
INTERVAL = 0.5
# Order of the rows: jobs that need attention are at the end, next to the summary.
ORDER = ("finished", "pruned", "stopped", "failed", "waiting", "running")


@contextmanager
def watch(folder: Path, num_jobs: int | None) -> Iterator[None]:
    """Context manager that shows the progress of a sweep from the files in its folder.

    Args:
        folder: The folder of the sweep.
        num_jobs: Number of jobs; None if it is unknown.
    """
    # The present standard output, because jobs in this process redirect theirs.
    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
    shown = _LiveTable(folder, num_jobs, console) if console.is_terminal else _Lines(folder, num_jobs, console)
    ended = threading.Event()

    def refresh() -> None:
        pause = INTERVAL
        while not ended.wait(pause):
            began = time.thread_time()
            shown.update()
            # With a thousand jobs, reading their states must not take the time of a core.
            pause = max(INTERVAL, 50 * (time.thread_time() - began))

    thread = threading.Thread(target=refresh, daemon=True)
    size = "" if num_jobs is None else f" of {num_jobs} {'job' if num_jobs == 1 else 'jobs'}"
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

    def __init__(self, folder: Path, num_jobs: int | None, console: Console) -> None:
        self.folder = folder
        self.num_jobs = num_jobs
        self.console = console
        self.began = time.time()
        self._last: dict[str, JobState] = {}

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self) -> None:
        """Print what has changed."""
        states = list(read_states(self.folder))
        for state in states:
            if state != self._last.get(state.job):
                for line in _lines(state, summary(states, self.num_jobs, self.began)):
                    self.console.print(printable(line), soft_wrap=True)
                self._last[state.job] = state


class _LiveTable(_Lines):
    """A table that is drawn anew, with a row for each job."""

    def __init__(self, folder: Path, num_jobs: int | None, console: Console) -> None:
        super().__init__(folder, num_jobs, console)
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
        text = Text(printable(summary(states, self.num_jobs, self.began)))
        self._live.update(Group(_table(states, rows=max(self.console.height - 8, 3)), text), refresh=True)


def summary(states: Sequence[JobState], num_jobs: int | None, began: float) -> str:
    """Return the numbers of jobs by state, the best value so far and the time left."""
    counts = Counter[str](state.state for state in states)
    names = {"finished": "done", "pruned": "pruned", "running": "running", "failed": "failed", "stopped": "stopped"}
    parts = [f"{counts[state]} {name}" for state, name in names.items() if counts[state] or state in ("finished", "running", "failed")]
    waiting = counts["waiting"] + max((num_jobs or 0) - len(states), 0)
    parts = [", ".join([*parts, *([f"{waiting} waiting"] if waiting else [])])]
    if (best := best_of(states)) is not None:
        parts.append(f"best so far {best.value:.4f} ({best.job})")
    if (left := _seconds_left(states, num_jobs, began)) is not None:
        parts.append(f"about {duration(left)} left")
    return "; ".join(parts)


def best_of(states: Sequence[JobState]) -> JobState | None:
    """Return the finished job with the highest value, or None."""
    finished = [state for state in states if state.value is not None]
    return max(finished, key=lambda state: state.value or 0.0) if finished else None


def duration(seconds: float) -> str:
    """Return a duration in a unit that fits.

    >>> duration(12.3), duration(340), duration(8000)
    ('12 s', '6 min', '2 h 13 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _seconds_left(states: Sequence[JobState], num_jobs: int | None, began: float) -> float | None:
    """Estimate the time left from the jobs that this start of the sweep has run; None if there are none, or nothing is left."""
    ended = [state for state in states if state.ended is not None]
    left = 0 if num_jobs is None else num_jobs - sum(state.state not in ("running", "waiting") for state in states)
    return (time.time() - began) / len(ended) * left if ended and left else None


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


def _table(states: Sequence[JobState], *, rows: int) -> Table:
    """Return a table of the states; finished jobs that do not fit are left out, oldest first."""
    ordered = sorted(states, key=lambda state: ORDER.index(state.state))
    best = best_of(states)
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
