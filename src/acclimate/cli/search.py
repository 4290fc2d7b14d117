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
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from acclimate.cli.launching import Launch

Space = dict[str, BaseDistribution]


def search_space(overrides: Sequence[Override]) -> tuple[Space, list[str]]:
    """Return the distributions of the overrides that have several values or an interval, and the other overrides."""
    space: Space = {}
    fixed = []
    for one in overrides:
        if one.is_sweep_override():
            space[one.get_key_element()] = _distribution(one)
        else:
            fixed.append(f"{one.get_key_element()}={one.get_value_element_as_str()}")
    return space, fixed


def _distribution(override: Override) -> BaseDistribution:
    value: Any = override.value()
    if override.is_interval_sweep():
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        log = "log" in value.tags
        return IntDistribution(value.start, value.end, log=log) if whole else FloatDistribution(value.start, value.end, log=log)
    texts = list(override.sweep_string_iterator())
    if override.is_range_sweep() and not value.shuffle and len(texts) > 1:
        numbers = [yaml.safe_load(text) for text in texts]
        low, high, step = min(numbers), max(numbers), abs(value.step)
        whole = all(isinstance(number, int) for number in numbers)
        return IntDistribution(low, high, step=step) if whole else FloatDistribution(low, high, step=step)
    return CategoricalDistribution(texts)


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
        self.space = space
        self.fixed = list(fixed)
        self.num_jobs: int = config["n_jobs"]
        self.study = optuna.create_study(
            study_name=config["study_name"],
            storage=config["storage"],
            direction=config["direction"],
            load_if_exists=True,
        )
        self.study.sampler = self._sampler(config["sampler"])
        self.num_trials: int = config["n_trials"]
        if isinstance(self.study.sampler, optuna.samplers.GridSampler):
            self.num_trials = min(self.num_trials, math.prod(map(len, self._grid().values())))

    def run(self) -> None:
        """Run trials until enough have finished; trials of an earlier start that were stopped or failed are repeated first."""
        done = self._trials(TrialState.COMPLETE)
        # Their jobs are finished already, unless someone has deleted their folders.
        self.launch.launch([self._overrides(trial.params) for trial in done], 0)
        self._enqueue_unfinished()
        num_launched = len(done)
        while num_launched < self.num_trials:
            trials = [self.study.ask(self.space) for _ in range(min(self.num_jobs, self.num_trials - num_launched))]
            returned = self.launch.launch([self._overrides(trial.params) for trial in trials], num_launched)
            num_launched += len(trials)
            for trial, value in zip(trials, (one.return_value for one in returned), strict=True):
                # A grid that is complete tries to stop a loop of Optuna's own.
                with suppress(RuntimeError):
                    self.study.tell(trial, value, state=TrialState.FAIL if value is None else TrialState.COMPLETE)
        self._write_best(self.launch.folder / "optimization_results.yaml")

    def _trials(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        """Return trials whose settings are those that are searched for now."""
        return [trial for trial in self.study.get_trials(states=states) if trial.params.keys() == self.space.keys()]

    def _enqueue_unfinished(self) -> None:
        """Repeat, with the same settings and so in the same folders, trials that were killed or failed."""
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)
        known = [trial.params for trial in self._trials(TrialState.COMPLETE)]
        known += [trial.system_attrs.get("fixed_params", {}) for trial in self.study.get_trials(states=(TrialState.WAITING,))]
        for trial in self._trials(TrialState.FAIL):
            if trial.params not in known:
                known.append(trial.params)
                self.study.enqueue_trial(trial.params)

    def _overrides(self, params: Mapping[str, Any]) -> list[str]:
        return [*self.fixed, *(f"{key}={value}" for key, value in params.items())]

    def _grid(self) -> dict[str, list[Any]]:
        grid = {}
        for key, one in self.space.items():
            if isinstance(one, CategoricalDistribution):
                grid[key] = list(one.choices)
            elif isinstance(one, IntDistribution | FloatDistribution) and one.step is not None:
                grid[key] = [one.low + number * one.step for number in range(round((one.high - one.low) / one.step) + 1)]
        return grid

    def _sampler(self, config: DictConfig) -> optuna.samplers.BaseSampler:
        """Return the sampler, which must not repeat its first suggestions when a search continues."""
        moved = {} if config.get("seed") is None else {"seed": config.seed + len(self.study.trials)}
        sampler: Any = hydra.utils.instantiate(config, **({} if config.get("_partial_") else moved))
        built: optuna.samplers.BaseSampler = sampler(self._grid()) if isinstance(sampler, functools.partial) else sampler
        return built

    def _write_best(self, file: Path) -> None:
        if self._trials(TrialState.COMPLETE):
            best = self.study.best_trial
            file.write_text(yaml.safe_dump({"name": "optuna", "best_params": best.params, "best_value": best.value}))
