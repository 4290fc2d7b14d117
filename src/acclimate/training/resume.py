"""The beginning of a run: what it continues from in its folder, and the changes that are allowed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acclimate.config.identity import EPOCHS, MACHINE, STEPS, identity
from acclimate.config.messages import setting
from acclimate.config.paths import DATA_PATHS, exist
from acclimate.data.domains import Domains
from acclimate.data.parts_file import PARTS_FILE, has_same_parts
from acclimate.errors import ConfigError, DataError, command
from acclimate.files.atomic_files import remove_unfinished
from acclimate.runs import checkpoint_files
from acclimate.runs.checkpoint_files import best_checkpoint, last_checkpoint
from acclimate.runs.checkpoints import Checkpoint, read_checkpoint
from acclimate.runs.record import METRICS, has_record, read_record

# Groups of settings that may change when a run is resumed. Other changes would contradict its checkpoint.
CHANGEABLE = ("optimizer.", "scheduler.")


class Change(NamedTuple):
    """A setting with a new value in a resumed run."""

    before: Any
    now: Any


Changes = dict[str, Change]


class Beginning(NamedTuple):
    """The beginning of a run, which is new or resumed.

    Attributes:
        changes: Settings that differ from the earlier start.
        checkpoint: The checkpoint that it continues from; None for a new run.
        is_recorded: True if its folder has the record of an earlier start.
        is_finished: True if nothing is left to train.
    """

    changes: Changes
    checkpoint: Checkpoint | None
    is_recorded: bool
    is_finished: bool

    @property
    def step(self) -> int:
        """Number of steps trained so far."""
        return self.checkpoint["global_step"] if self.checkpoint else 0


def find_beginning(folder: Path, config: Mapping[str, Any], accepted: Sequence[str] = ()) -> Beginning:
    """Find what a run continues from in its folder.

    Args:
        folder: The folder of the run.
        config: The plain, fully resolved configuration; `resume` allows the run to continue an earlier one.
        accepted: As for `accept_changes`.

    Raises:
        ConfigError: If the folder contains a run that this one does not continue, see also `accept_changes`, or a checkpoint
            is damaged.
    """
    best, last = best_checkpoint(folder), last_checkpoint(folder)
    is_finished = (folder / METRICS).exists()
    changes: Changes = {}
    if config["resume"]:
        changes = accept_changes(folder, config, accepted)
        if is_finished and not changes.keys() & {EPOCHS, STEPS}:
            return Beginning(changes, None, is_recorded=True, is_finished=True)
    elif is_finished or checkpoint_files.exists(last) or checkpoint_files.exists(best):
        state = "a finished run" if is_finished else "a run that was stopped"
        raise ConfigError(
            f"{folder} contains {state}. Continue it with {setting('resume', str(folder))}, or choose another folder: hydra.run.dir=DIR."
        )
    remove_unfinished(folder)
    if checkpoint_files.exists(best):
        # If it is damaged, fail now instead of after training.
        read_checkpoint(best)
    checkpoint = read_checkpoint(last) if checkpoint_files.exists(last) else None
    return Beginning(changes, checkpoint, is_recorded=config["resume"] and has_record(folder), is_finished=False)


def is_moved(key: str, change: Change) -> bool:
    """Return True if a change names another place of data that are no longer where they were."""
    return key in DATA_PATHS and change.now is not None and not exist(change.before)


def refuse_other_data(folder: Path, changes: Mapping[str, Change], domains: Domains) -> None:
    """Check that data in another place are those that a run was started with.

    Args:
        folder: The folder of the run.
        changes: Settings that differ from the earlier start.
        domains: All samples as the run divides them now.

    Raises:
        DataError: If other samples are in a part, or the run does not know its samples.
    """
    moved = {key: change for key, change in changes.items() if is_moved(key, change)}
    if moved and not ((folder / PARTS_FILE).is_file() and has_same_parts(folder / PARTS_FILE, domains)):
        listed = " ".join(setting(key, change.now) for key, change in moved.items())
        before = ", ".join(str(change.before) for change in moved.values())
        raise DataError(
            f"{listed}: these are not the data that the run in {folder} was started with, which were {before}. Name a copy of them, or "
            f"start a new run from its weights: {setting('init_from', str(folder))}."
        )


def accept_changes(folder: Path, config: Mapping[str, Any], accepted: Sequence[str] = ()) -> Changes:
    """Compare a configuration with that of the run in a folder, if there is one.

    The length of a run, settings of the machine and the place of data that have been moved may change. Other changes must be
    accepted.

    Args:
        folder: The folder of the run.
        config: The plain, fully resolved configuration.
        accepted: The value of `resume_with`: keys or groups of the optimizer and the scheduler.

    Returns:
        Changed settings by key, without those that do not affect the results.

    Raises:
        ConfigError: If another setting differs, a finished run would not continue training, or the new length is shorter
            than the training so far.
    """
    path = next((path for path in (last_checkpoint(folder), best_checkpoint(folder)) if checkpoint_files.exists(path)), None)
    if path is None:
        return {}
    checkpoint = read_checkpoint(path)
    there, here = identity(checkpoint["config"]), identity(config)
    # Keys that exist in only one of two versions are ignored.
    changes = {key: Change(there[key], here[key]) for key in sorted(there.keys() & here.keys()) if there[key] != here[key]}
    for key in (EPOCHS, STEPS):
        if there.get(key) != here.get(key):
            changes[key] = Change(there.get(key), here.get(key))
    _refuse_others(folder, changes, accepted)
    _refuse_length(folder, config["trainer"], checkpoint)
    if not (folder / METRICS).exists():
        return changes
    if changes.keys() & {EPOCHS, STEPS}:
        if not checkpoint_files.exists(last_checkpoint(folder)):
            raise ConfigError(
                f"{folder} cannot continue without {last_checkpoint(folder)}. Start from its weights: {setting('init_from', str(folder))}."
            )
    else:
        trained = [f"{key}={change.now}" for key, change in changes.items() if key.startswith(CHANGEABLE)]
        if trained:
            raise ConfigError(
                f"{folder} is finished, so {', '.join(trained)} would have no effect. To train longer with it, also set a larger {EPOCHS}."
            )
    return changes


def _refuse_others(folder: Path, changes: Changes, accepted: Sequence[str]) -> None:
    """Refuse changes whose keys or groups are not accepted, unless an earlier start without a new checkpoint accepted them."""
    before = _recorded(folder)
    others = [
        key
        for key, change in changes.items()
        if key.partition(".")[0] not in MACHINE and before.get(key) != change.now and not is_moved(key, change)
    ]
    allowed = [key for key in others if key.startswith(CHANGEABLE) and key != "optimizer._target_"]
    refused = [key for key in others if key not in allowed or not any(key == name or key.startswith(f"{name}.") for name in accepted)]
    if not refused:
        return
    differing = ", ".join(f"{key}={changes[key].now} ({changes[key].before} there)" for key in refused)
    by_name = f"add {setting('resume_with', refused)} to change this run, " if set(refused) <= set(allowed) else ""
    raise ConfigError(
        f"{folder} contains a run with other settings: {differing}. "
        f"Continue it as it was started: {command('train', f'resume={folder}')}, {by_name}or choose another folder: hydra.run.dir=DIR."
    )


def _recorded(folder: Path) -> dict[str, Any]:
    try:
        return identity(read_record(folder).config)
    except DataError:
        return {}


def _refuse_length(folder: Path, here: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Refuse the settings of a trainer that end the training before the step that it has reached."""
    there = checkpoint["config"]["trainer"]
    steps = here.get("max_steps", -1)
    if steps > 0:
        if here.get("max_epochs") != there.get("max_epochs") and steps == there.get("max_steps"):
            raise ConfigError(
                f"{folder} counts steps ({STEPS}={steps}), so {EPOCHS}={here.get('max_epochs')} has no effect. "
                f"Set {STEPS}, or {STEPS}=-1 as well."
            )
        done, asked, unit = checkpoint["global_step"], steps, STEPS
    else:
        done, asked, unit = epochs_begun(checkpoint), here.get("max_epochs"), EPOCHS
    if asked not in (None, -1) and asked < done:
        raise ConfigError(
            f"{folder} has already trained for {checkpoint['global_step']} steps in {epochs_begun(checkpoint)} epochs, and "
            f"{unit}={asked} is less. Set at least {unit}={done}, or leave the key out."
        )


def epochs_begun(checkpoint: Checkpoint) -> int:
    """Return the number of epochs of which a run has trained at least one batch."""
    return int(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["ready"])
