"""The trial of a search that a job of a sweep belongs to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

from acclimate.errors import ConfigError, Pruned, first_line

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from pytorch_lightning.callbacks import Callback

# The number of the trial in the configuration of a job whose trial may be pruned.
TRIAL = "hydra.sweeper.trial"


@contextmanager
def pruned_by_trial() -> "Iterator[list[Callback]]":
    """Context manager for a training, with the callbacks that end it if a pruner says so; there are none for other jobs.

    The end of the trial is recorded in the study here, because a sweep that is killed later must not repeat it.
    """
    number = HydraConfig.get().sweeper.get("trial") if HydraConfig.initialized() else None
    if number is None:
        yield []
        return
    # Imported here, because other jobs do not need it.
    import optuna

    from acclimate.training.callbacks.pruning import Pruning

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = HydraConfig.get().sweeper
    study = optuna.load_study(study_name=settings.study_name, storage=open_storage(settings.storage), pruner=instantiate(settings.pruner))
    known = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == number)
    if known.state == optuna.trial.TrialState.PRUNED:
        raise Pruned("by an earlier start of the sweep")
    try:
        yield [Pruning(optuna.trial.Trial(study, known._trial_id), len(known.intermediate_values))]
    except Pruned:
        study.tell(number, state=optuna.trial.TrialState.PRUNED)
        raise


def open_storage(url: str) -> "BaseStorage":
    """Open the storage of a study, which several jobs may use at once.

    Raises:
        ConfigError: If it cannot be opened.
    """
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    # SQLite gives up after 5 seconds by default.
    options: dict[str, Any] = {"connect_args": {"timeout": 120}} if url.startswith("sqlite") else {}
    try:
        return RDBStorage(url, engine_kwargs=options)
    except (SQLAlchemyError, ImportError) as error:
        raise ConfigError(
            f"hydra.sweeper.storage={url} cannot be opened: {first_line(error)}. Leave the key out to store the study in the "
            "folder of the sweep, or type hydra.sweeper.storage=sqlite:///FILE.db."
        ) from error
