"""Sweepers of `acclimate train -m`, here because Hydra accepts plug-ins of the package `hydra_plugins` only."""

import math
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext
from omegaconf import DictConfig


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper, whose jobs are skipped if they are finished, and shown while they run."""

    def setup(self, *, hydra_context: HydraContext, task_function: Any, config: DictConfig) -> None:
        from acclimate.cli.launching import Launch
        from acclimate.cli.sweep_mistakes import refuse_missing_launcher

        refuse_missing_launcher(config)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.launcher: Any = Launch(task_function, self.launcher, hydra_context, config)

    def validate_batch_is_legal(self, batch: Any) -> None:
        """Do nothing, because `Launch` composes all jobs of a batch before it launches any."""

    def sweep(self, arguments: list[str]) -> Any:
        from acclimate.cli.sweep_mistakes import refuse_batch_size, refuse_values

        overrides = _parse([*self._parse_config(), *arguments], self.hydra_context)
        refuse_values(overrides, is_search=False)
        refuse_batch_size(self.max_batch_size)
        # Values that are equal once they are read, such as 1e-3 and 0.001, are one job.
        varying = {one.get_key_element(): len({*one.sweep_string_iterator()}) for one in overrides if one.is_discrete_sweep()}
        with self.launcher.running(varying, math.prod(varying.values())):
            return super().sweep(arguments)


class OptunaSweeper(Sweeper):
    """Search with Optuna; see `conf/hydra/sweeper/optuna.yaml` for the options."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: Any, config: DictConfig) -> None:
        from acclimate.cli.launching import Launch
        from acclimate.cli.sweep_mistakes import refuse_missing_launcher, refuse_missing_optuna

        refuse_missing_launcher(config)
        refuse_missing_optuna()
        launcher = Plugins.instance().instantiate_launcher(hydra_context=hydra_context, task_function=task_function, config=config)
        self.launch = Launch(task_function, launcher, hydra_context, config)

    def sweep(self, arguments: list[str]) -> None:
        from acclimate.cli.search import Search, refuse_mistakes
        from acclimate.cli.search_space import samples_of, search_space
        from acclimate.cli.sweep_mistakes import refuse_mistaken, refuse_values

        params = [f"{key}={value}" for key, value in (self.options["params"] or {}).items()]
        overrides = _parse([*params, *arguments], self.launch.context)
        refuse_values(overrides, is_search=True)
        space, fixed = search_space(overrides)
        refuse_mistakes(self.options, space, self.launch.compose(fixed).selection)
        # Of two jobs, because a key may be one of some methods only.
        refuse_mistaken([self.launch.check(overrides)[1] for overrides in samples_of(space, fixed)], overrides)
        with self.launch.running(space, self.options["n_trials"]):
            Search(self.launch, self.options, space, fixed).run()


def _parse(arguments: list[str], context: Any) -> list[Override]:
    parser = OverridesParser.create(config_loader=context.config_loader)
    # As on the command line, later ones count.
    return list({one.get_key_element(): one for one in parser.parse_overrides(arguments)}.values())
