"""Search for the values of settings with the highest score, with Optuna."""

import functools
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import hydra
import optuna
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from acclimate.cli.launching import Launch
from acclimate.cli.search_space import Space
from acclimate.cli.trials import TRIAL, open_storage
from acclimate.config.groups import listed_keys
from acclimate.config.identity import differing, identity, without
from acclimate.config.messages import did_you_mean
from acclimate.errors import ConfigError

# The attribute of a study with the settings that its trials share.
SETTINGS = "settings"


def refuse_mistakes(options: Mapping[str, Any], space: Space, selection: Mapping[str, Any]) -> None:
    """Check the options of a search.

    Args:
        options: The configuration of the sweeper, as in `conf/hydra/sweeper/optuna.yaml`.
        space: Distributions of the settings to search for.
        selection: The configuration of the selection, whose score the search maximises.

    Raises:
        ConfigError: If the search cannot work.
    """
    known = sorted({"sampler", *listed_keys("hydra/sweeper")})
    if unknown := [key for key in options if key not in known]:
        raise ConfigError(f"hydra.sweeper.{unknown[0]}: there is no such key.{did_you_mean(unknown[0], known)}")
    if not space:
        raise ConfigError(
            "A search needs a key with several values, such as method=dann,cdan, or an interval, such as "
            "'optimizer.lr=tag(log,interval(1e-4,1e-2))'."
        )
    if "selection" in space:
        raise ConfigError("A search compares the values of one score, and those of several selections differ in scale. Choose one of them.")
    if selection.get("score", True) is None:
        raise ConfigError(
            "selection=last has no score that a search could compare. Choose another selection, such as selection=auto, "
            "or train all combinations of values without hydra/sweeper=optuna."
        )
    if (direction := options["direction"]) not in ("maximize", "minimize"):
        raise ConfigError(
            f"hydra.sweeper.direction={direction}: a search has one objective, the score of the selection, "
            "and its direction is maximize or minimize."
        )
    for key in ("n_trials", "n_jobs"):
        if not isinstance(number := options[key], int) or number < 1:
            raise ConfigError(f"hydra.sweeper.{key}={number} must be a whole number of at least 1.")
    if options["pruner"] is not None and not options["storage"]:
        raise ConfigError(
            "hydra.sweeper.storage=null: a pruner compares trials by what they have stored. Leave the key out, or type "
            "hydra.sweeper.storage=URL."
        )
    for key in ("sampler", "pruner"):
        if options[key] is not None:
            try:
                hydra.utils.instantiate(options[key])
            except HydraException as error:
                raise ConfigError(f"hydra.sweeper.{key} cannot be built: {error.__cause__ or error}") from error


class Search:
    """A study of Optuna, whose trials are jobs.

    Args:
        launch: Launches jobs.
        config: The configuration of the sweeper, as in `conf/hydra/sweeper/optuna.yaml`.
        space: Distributions of the settings to search for.
        fixed: The other overrides of each job.
    """

    def __init__(self, launch: Launch, config: Mapping[str, Any], space: Space, fixed: Sequence[str]) -> None:
        optuna.logging.set_verbosity(logging.WARNING)
        self.launch = launch
        # Without the signs of overrides, by which nobody would look for them in the study.
        self.keys = {key.lstrip("+"): key for key in space}
        self.space = {name: space[key] for name, key in self.keys.items()}
        self.fixed = list(fixed)
        self.num_jobs: int = config["n_jobs"]
        self.study = optuna.create_study(
            study_name=config["study_name"],
            storage=config["storage"] and open_storage(config["storage"]),
            direction=config["direction"],
            load_if_exists=True,
        )
        self._refuse_other_study(config["direction"])
        self.sampler: DictConfig = config["sampler"]
        self.pruner: DictConfig | None = config["pruner"]
        self.num_trials: int = config["n_trials"]
        if isinstance(self._sampler(), optuna.samplers.GridSampler):
            if others := self.space.keys() - self._grid().keys():
                name = min(others)
                raise ConfigError(
                    f"hydra/sweeper/sampler=grid needs values of {name}, not an interval: {name}=VALUE,VALUE or {name}=range(1,9)."
                )
            self.num_trials = min(self.num_trials, math.prod(map(len, self._grid().values())))

    def _refuse_other_study(self, direction: str) -> None:
        """Check that a study that is continued was begun with the same direction and settings, but for those that are searched.

        Raises:
            ConfigError: If it was not, because its trials would count as if they were those of this search.
        """
        found = self.study.direction.name.lower()
        differences = [] if found == direction else [f"hydra.sweeper.direction={direction} ({found} there)"]
        begun: dict[str, Any] | None = self.study.user_attrs.get(SETTINGS)
        settings = identity(self.launch.check(self.fixed)[0] or {})
        if begun and not self.launch.sweep.accepts_changes:
            here, there = without(settings, *self.space), without(begun, *self.space)
            # Keys that exist in only one of two versions are ignored.
            changed = [key for key in differing(here, there) if key in here and key in there]
            differences += [f"{key}={here[key]} ({there[key]} there)" for key in changed]
        if differences:
            raise ConfigError(
                f"The study {self.study.study_name} was begun with other settings: {', '.join(differences)}. "
                "Choose another one: hydra.sweeper.study_name=NAME and hydra.sweep.dir=DIR."
            )
        if begun is None:
            self.study.set_user_attr(SETTINGS, settings)

    def run(self) -> None:
        """Run trials until enough have ended; those of an earlier start are continued if it was stopped, and repeated if they failed."""
        done, pruned = self._trials(TrialState.COMPLETE), self._trials(TrialState.PRUNED)
        # Their jobs are finished already, unless someone has deleted their folders.
        self.launch.launch([self._overrides(trial.params) for trial in done], 0)
        self.launch.show_pruned([self._overrides(trial.params) for trial in pruned])
        stopped = self._trials(TrialState.RUNNING)
        self._enqueue_failed()
        num_launched = len(done) + len(pruned)
        while num_launched < self.num_trials:
            size = min(self.num_jobs, self.num_trials - num_launched)
            trials, stopped = stopped[:size], stopped[size:]
            trials = trials or [self._ask() for _ in range(size)]
            returned = self.launch.launch([self._job(trial) for trial in trials], num_launched)
            num_launched += len(trials)
            for trial, value in zip(trials, (one.return_value for one in returned), strict=True):
                # A grid that is complete tries to stop a loop of Optuna's own.
                with suppress(RuntimeError):
                    # A job that was pruned has told the study itself.
                    state = TrialState.FAIL if value is None else TrialState.COMPLETE
                    self.study.tell(trial.number, value, state=state, skip_if_finished=True)
        self._write_best(self.launch.folder / "optimization_results.yaml")

    def _trials(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        """Return trials whose settings are those that are searched for now."""
        return [trial for trial in self.study.get_trials(states=states) if trial.params.keys() == self.space.keys()]

    def _ask(self) -> FrozenTrial:
        # Built anew, so that a search that continues makes the same choices as one that has not been stopped.
        self.study.sampler = self._sampler()
        if self.pruner is not None:
            self.study.pruner = hydra.utils.instantiate(self.pruner)
        asked = self.study.ask(self.space)
        return next(trial for trial in self.study.get_trials(states=(TrialState.RUNNING,)) if trial.number == asked.number)

    def _enqueue_failed(self) -> None:
        """Repeat trials that failed, with the same settings and so in the same folders."""
        known = [trial.params for trial in self._trials(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)]
        known += [trial.system_attrs.get("fixed_params", {}) for trial in self.study.get_trials(states=(TrialState.WAITING,))]
        for trial in self._trials(TrialState.FAIL):
            if trial.params not in known:
                known.append(trial.params)
                self.study.enqueue_trial(trial.params)

    def _overrides(self, params: Mapping[str, Any]) -> list[str]:
        return [*self.fixed, *(f"{self.keys[name]}={value}" for name, value in params.items())]

    def _job(self, trial: FrozenTrial) -> list[str]:
        """Return the overrides of a trial's job; with a pruner, it is told which trial it belongs to."""
        return [*self._overrides(trial.params), *([] if self.pruner is None else [f"+{TRIAL}={trial.number}"])]

    def _grid(self) -> dict[str, list[Any]]:
        grid = {}
        for key, one in self.space.items():
            if isinstance(one, CategoricalDistribution):
                grid[key] = list(one.choices)
            elif isinstance(one, IntDistribution | FloatDistribution) and one.step is not None:
                grid[key] = [one.low + number * one.step for number in range(round((one.high - one.low) / one.step) + 1)]
        return grid

    def _sampler(self) -> optuna.samplers.BaseSampler:
        """Return the sampler for the next trial. Its random numbers are a function of the seed and the number of the trial."""
        config = self.sampler
        is_sequence = config.get("_partial_") or config.get("scramble") or config.get("seed") is None
        moved = {} if is_sequence else {"seed": config.seed + len(self.study.get_trials(deepcopy=False))}
        sampler: Any = hydra.utils.instantiate(config, **moved)
        built: optuna.samplers.BaseSampler = sampler(self._grid()) if isinstance(sampler, functools.partial) else sampler
        return built

    def _write_best(self, file: Path) -> None:
        if done := self._trials(TrialState.COMPLETE):
            extreme = max if self.study.direction == optuna.study.StudyDirection.MAXIMIZE else min
            best = extreme(done, key=lambda trial: trial.value or 0.0)
            file.write_text(yaml.safe_dump({"name": "optuna", "best_params": best.params, "best_value": best.value}))
