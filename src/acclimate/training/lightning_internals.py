"""Uses of what Lightning does not document, which a new version may change.

Each function names the version it was last checked with; tests/training/test_lightning_internals.py compares them with what
Lightning does.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loops.fetchers import _DataLoaderIterDataFetcher
from pytorch_lightning.loops.optimization.automatic import ClosureResult
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.trainer.connectors.logger_connector.result import _ResultCollection, _ResultMetric
from torch import Tensor
from torch.optim import Optimizer

from acclimate.methods.core.module import ClassifierModule
from acclimate.training.profiler import NoProfiler

# Hooks of each step that only Lightning calls; methods that alternate call `on_before_optimizer_step` themselves.
STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_before_zero_grad",
    "on_train_batch_end",
)
BATCH_HOOKS = ("on_before_batch_transfer", "on_after_batch_transfer")
# Hooks that change how a step is taken.
OVERRIDABLE = (
    "optimizer_step",
    "optimizer_zero_grad",
    "backward",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "on_train_batch_start",
)


def validates_after_step(trainer: pl.Trainer) -> bool:
    """Return True if a validation follows the step that ends, for use in `on_train_batch_end`. Checked with Lightning 2.6.6."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


def accumulates(trainer: pl.Trainer) -> bool:
    """Return True if the gradients of the last batch wait for those of further ones. Checked with Lightning 2.6.6."""
    return trainer.fit_loop._should_accumulate()


def leave_out_empty_hooks(pl_module: pl.LightningModule, callbacks: Sequence[Callback]) -> None:
    """Make Lightning skip the hooks of a step that a module and its callbacks do not override.

    With a dozen callbacks, calling empty hooks takes a tenth of a step on precomputed features. Lightning skips a hook that is
    None. Checked with Lightning 2.6.6.
    """
    for owner, base in ((pl_module, pl.LightningModule), *((callback, Callback) for callback in callbacks)):
        for name in STEP_HOOKS:
            if not _overrides(owner, base, name):
                setattr(owner, name, None)


def shorten_steps(trainer: pl.Trainer) -> None:
    """Make Lightning 2.6 take training steps with less work between a batch and the next; other versions take their own steps.

    Checked with Lightning 2.6.6.
    """
    if not pl.__version__.startswith("2.6."):  # type: ignore[attr-defined]
        return
    loop = trainer.fit_loop.epoch_loop
    loop.__class__ = _ShortSteps
    for results in (loop._results, loop.val_loop._results):
        results.__class__ = _ResultsInPlace


class _ResultsInPlace(_ResultCollection):
    """Lightning's collection of logged values, which searches all parts of each for tensors on another device whenever it is logged."""

    def __setitem__(self, name: str, metric: _ResultMetric) -> None:
        metric.__class__ = _ResultInPlace
        super().__setitem__(name, metric)


class _ResultInPlace(_ResultMetric):
    def to(self, *arguments: Any, **options: Any) -> Self:
        is_there = not options and arguments == (self.value.device,)
        return self if is_there else super().to(*arguments, **options)  # type: ignore[return-value]


class _ShortSteps(_TrainingEpochLoop):
    """Lightning's loop over the batches of an epoch, without what most trainings do not need in each step.

    On precomputed features, Lightning's own work takes a fifth of a step. All hooks that are documented are called, in the same
    order, and all counters move, so a checkpoint is that of Lightning. Left out are profiling, debug messages, wrappers of the
    optimizer and, in steps that log nothing, the collection of metrics. A training with anything unusual takes Lightning's own
    steps.
    """

    def on_run_start(self, data_fetcher: Any) -> None:
        super().on_run_start(data_fetcher)
        self._is_short = self._is_usual(data_fetcher)
        self._module_state = vars(self.trainer.lightning_module)
        self._hooks = {name: _hooks(self.trainer, name) for name in (*STEP_HOOKS, "on_before_optimizer_step")}

    def _is_usual(self, data_fetcher: Any) -> bool:
        trainer, module = self.trainer, self.trainer.lightning_module
        precision = trainer.precision_plugin
        return (
            isinstance(module, ClassifierModule)
            and module.automatic_optimization
            and not any(_overrides(module, pl.LightningModule, name) for name in (*OVERRIDABLE, *BATCH_HOOKS, "transfer_batch_to_device"))
            and trainer.datamodule is not None
            and not any(_overrides(trainer.datamodule, pl.LightningDataModule, name) for name in BATCH_HOOKS)
            and len(trainer.optimizers) == 1
            and isinstance(trainer.optimizers[0], Optimizer)
            and all(
                config.interval == "step" and config.frequency == 1 and not config.reduce_on_plateau
                for config in trainer.lr_scheduler_configs
            )
            and trainer.accumulate_grad_batches == 1
            and type(trainer.strategy) is SingleDeviceStrategy
            and (type(precision) is Precision or (type(precision) is MixedPrecision and precision.scaler is None))
            and type(trainer.profiler) is NoProfiler
            and not isinstance(data_fetcher, _DataLoaderIterDataFetcher)
        )

    def advance(self, data_fetcher: Any) -> None:
        if not self._is_short or self.restarting or self.val_loop.restarting:
            super().advance(data_fetcher)
            return
        trainer, progress = self.trainer, self.batch_progress
        module: Any = trainer.lightning_module
        metrics = trainer._logger_connector
        batch, _, _ = next(data_fetcher)
        if type(trainer.precision_plugin) is not Precision:
            # Inputs of other floating-point types become those of the weights.
            batch = trainer.precision_plugin.convert_input(batch)
        progress.is_last_batch = data_fetcher.done
        number = self.batch_idx + 1
        batch = trainer.datamodule.transfer_batch_to_device(batch, module.device, 0)
        progress.increment_ready()
        metrics.on_batch_start(batch)
        module.has_logged = False
        self._call("on_train_batch_start", batch, number)
        progress.increment_started()
        outputs = self._take_step(trainer.optimizers[0], batch, number)
        progress.increment_processed()
        for config in trainer.lr_scheduler_configs:
            self.scheduler_progress.increment_ready()
            config.scheduler.step()
            self.scheduler_progress.increment_completed()
        self._call("on_train_batch_end", outputs, batch, number)
        if module.has_logged:
            metrics.on_batch_end()
        progress.increment_completed()
        metrics.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: Any) -> None:
        trainer = self.trainer
        is_over = trainer.should_stop or trainer.received_sigterm or self._skip_next_val
        if not self._is_short or is_over or self._should_check_val_fx(data_fetcher):
            super().on_advance_end(data_fetcher)
        else:
            self._batches_that_stepped += 1

    def _take_step(self, optimizer: Optimizer, batch: Any, number: int) -> dict[str, Any]:
        """Take an optimizer step on a batch, and return the outputs for callbacks."""
        trainer, progress = self.trainer, self.automatic_optimization.optim_progress.optimizer
        module: Any = trainer.lightning_module
        result: ClosureResult | None = None

        @torch.enable_grad()
        def closure() -> Tensor | None:
            nonlocal result
            with trainer.precision_plugin.train_step_context():
                self._module_state["_current_fx_name"] = "training_step"
                returned = module.training_step(batch, number)
                self._module_state["_current_fx_name"] = None
            result = ClosureResult(returned) if isinstance(returned, Tensor) else ClosureResult.from_training_step_output(returned)
            progress.zero_grad.increment_ready()
            self._call("on_before_zero_grad", optimizer)
            progress.zero_grad.increment_started()
            optimizer.zero_grad()
            progress.zero_grad.increment_completed()
            if result.closure_loss is not None:
                self._call("on_before_backward", result.closure_loss)
                result.closure_loss.backward()  # type: ignore[no-untyped-call]
                self._call("on_after_backward")
            self._call("on_before_optimizer_step", optimizer)
            if trainer.gradient_clip_val is not None:
                module.clip_gradients(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
            return result.loss

        progress.step.increment_ready()
        optimizer.step(closure)  # type: ignore[arg-type]
        progress.step.increment_completed()
        return {} if result is None or result.loss is None else result.asdict()

    def _call(self, name: str, *arguments: Any) -> None:
        """Call a hook of all callbacks and of the module, whose name Lightning needs to know for what they log."""
        state = self._module_state
        before, state["_current_fx_name"] = state["_current_fx_name"], name
        for hook in self._hooks[name]:
            hook(*arguments)
        state["_current_fx_name"] = before


def _hooks(trainer: pl.Trainer, name: str) -> list[Callable[..., Any]]:
    """Return the functions that a hook calls: those of the callbacks, and then that of the module."""
    module, callbacks = trainer.lightning_module, trainer.callbacks  # type: ignore[attr-defined]
    found = [partial(getattr(callback, name), trainer, module) for callback in callbacks if _overrides(callback, Callback, name)]
    return [*found, *([getattr(module, name)] if _overrides(module, pl.LightningModule, name) else [])]


def _overrides(owner: object, base: type, name: str) -> bool:
    """Return True if an object has a hook of its own, in its class or in itself; Lightning skips one that is None."""
    hook = getattr(owner, name)
    return hook is not None and getattr(hook, "__func__", hook) is not getattr(base, name)
