"""The report of a sweep in which jobs failed, and sweeps like it."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from acclimate.config.messages import setting
from acclimate.config.sweep_names import outline
from acclimate.errors import command
from acclimate.runs.record import METRICS, RECORD
from acclimate.runs.settings import typed_for_sweep
from acclimate.runs.sweep_states import JobState

# Sweeps that are compared with a new one, the latest ones.
MAX_NEIGHBOURS = 20


def similar_sweep(arguments: Sequence[str], folder: Path) -> Path | None:
    """Return the latest sweep with finished runs beside a new one that differs from it only in values and order; None if there is none.

    Args:
        arguments: The arguments of `acclimate train`.
        folder: The folder of the new sweep; none is looked for if the user has named it.
    """
    if any(text.startswith(("hydra.sweep.", "hydra/sweeper=")) for text in arguments) or any(folder.glob(f"*/{RECORD}")):
        return None
    # Sweeps without runs may vanish at any time.
    neighbours = {file.parent.parent for file in folder.parent.glob(f"*/*/{METRICS}")} - {folder}
    latest = sorted(neighbours, key=lambda other: other.stat().st_mtime, reverse=True)[:MAX_NEIGHBOURS]
    wanted = outline(arguments)
    return next((other for other in latest if outline(typed_for_sweep(other)) == wanted), None)


def failures(
    states: Sequence[JobState],
    *,
    jobs: Collection[str],
    mistaken: Collection[str],
    best: JobState | None,
    reason: str | None,
    folder: Path,
    arguments: Sequence[str],
) -> Iterator[str]:
    """Yield the lines that report which jobs failed, why, and what to type; none if all jobs have ended well.

    Args:
        states: States of the jobs that have begun.
        jobs: Names of all jobs.
        mistaken: Names of those whose configurations have mistakes, which the same command would repeat.
        best: The best of the finished jobs, or None.
        reason: The reason why jobs have not begun, if it is known.
        folder: The folder of the sweep, in which a corrected command finds what has finished.
        arguments: The arguments of `acclimate train`.
    """
    missing = [state for state in states if state.state not in ("finished", "pruned")]
    num_unbegun = max(len(jobs) - len(states), 0)
    if not missing and not num_unbegun:
        return
    alike = defaultdict[str, list[JobState]](list)
    for state in missing:
        alike[state.reason or ("It was stopped." if state.state == "stopped" else "It has not ended.")].append(state)
    yield f"{num_unbegun + len(missing)} of {max(len(jobs), len(states))} jobs failed:"
    for shared, failed in alike.items():
        yield from f"{'; '.join(state.job for state in failed)}: {shared}".splitlines()
        yield from (f"  Log: {state.log}" for state in failed if state.log)
    if num_unbegun:
        yield f"{num_unbegun} {'job has' if num_unbegun == 1 else 'jobs have'} not begun{f': {reason}' if reason else ''}."
    if best is not None:
        yield f"The best of the others is {best.job} with {best.value:.4f}."
    num_mistaken = sum(state.job in mistaken for state in missing)
    if num_mistaken:
        # Another command would have another folder.
        is_named = any("hydra.sweep.dir=" in text for text in arguments)
        added = "" if is_named else f", and add {setting('hydra.sweep.dir', str(folder))}"
        yield f"Correct what is wrong in the command{added}: finished jobs are not trained again."
    if num_unbegun or num_mistaken < len(missing):
        yield f"Run the failed jobs again with the same command: {command('train', *arguments)}"
