"""Messages of runs that end before they are finished, with the command that continues them."""

from collections.abc import Iterator
from contextlib import contextmanager

from acclimate.errors import Interrupted, StorageError, command
from acclimate.runs import checkpoint_files
from acclimate.runs.checkpoint_files import best_checkpoint, last_checkpoint
from acclimate.runs.record import has_record
from acclimate.training.start import Start
from acclimate.training.stop_signals import StopSignals


@contextmanager
def advise_to_continue(start: Start, signals: StopSignals) -> Iterator[None]:
    """Context manager that adds the command to continue to the messages of stopped runs and of full disks.

    Args:
        start: The start of the run; a stopped run that has no record yet gets one, so that the command works.
        signals: The signals that stop the run.
    """
    try:
        yield
    except (Exception, SystemExit, Interrupted) as error:
        again = command("train", f"resume={start.folder}")
        # A signal to all processes of a run also ends the workers of its loaders, which then raise their own errors.
        if signals.received is not None:
            if not has_record(start.folder):
                start.write()
            reached = error if isinstance(error, Interrupted) else Interrupted(signals.received)
            raise Interrupted(signals.received, f"{reached} Continue with: {again}") from error
        if isinstance(error, StorageError):
            saved = any(checkpoint_files.exists(file(start.folder)) for file in (last_checkpoint, best_checkpoint))
            raise StorageError(f"{error} Then {f'continue with: {again}' if saved else 'type the same command again'}") from error
        raise
