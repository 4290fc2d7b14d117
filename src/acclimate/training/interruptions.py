"""Messages of runs that end before they are finished, with the command that continues them."""

from collections.abc import Iterator
from contextlib import contextmanager

from acclimate.errors import Interrupted, StorageError, command
from acclimate.files.full_disk import name_full_disk
from acclimate.memory import explain_out_of_memory
from acclimate.runs import checkpoint_files
from acclimate.runs.checkpoint_files import best_checkpoint, last_checkpoint
from acclimate.runs.record import has_record
from acclimate.training.misconfiguration import explain_misconfiguration
from acclimate.training.start import Start
from acclimate.training.stop_signals import StopSignals


@contextmanager
def explain_early_end(start: Start, signals: StopSignals) -> Iterator[None]:
    """Context manager that explains whatever ends a run early.

    That is a signal, a full disk, a lack of memory, or a setting that Lightning rejects.

    Args:
        start: The start of the run.
        signals: The signals that stop the run.

    Raises:
        Interrupted: If a signal arrived.
        StorageError: If the disk is full.
        ConfigError: If there is not enough memory, or Lightning rejects a setting.
    """
    with (
        explain_out_of_memory(start.config),
        explain_misconfiguration(),
        _advise_to_continue(start, signals),
        name_full_disk(start.folder),
    ):
        yield


@contextmanager
def _advise_to_continue(start: Start, signals: StopSignals) -> Iterator[None]:
    """Context manager that adds the command to continue to the messages of stopped runs and of full disks.

    A stopped run that has no record yet gets one, so that the command works.
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
