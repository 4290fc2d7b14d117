"""Training in turns: steps of a method's own networks before the step of the classifier."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.methods.core.not_finite import spread
from acclimate.types import DomainBatch, Labelled, LabelledPass, Unlabelled, UnlabelledPass


class Alternating(Method):
    """A method that takes several steps for a batch, each an `extra_step` but the last, which is the step on its losses.

    A subclass overrides `take_turns` or `train_adversary`.
    """

    def take_turns(self, source: Labelled, target: Unlabelled) -> None:
        """Take extra steps before the pass that the losses see, with passes of one's own."""

    def train_adversary(self, source: LabelledPass, target: UnlabelledPass) -> None:
        """Take extra steps of one's own networks after that pass."""

    def before_pass(self, batch: DomainBatch) -> None:
        if batch.target is not None:
            self.take_turns(batch.source, batch.target)

    def losses(self, source: LabelledPass, target: UnlabelledPass | None) -> dict[str, Tensor]:
        if target is not None:
            self.train_adversary(source, target)
        return super().losses(source, target)

    def extra_step(self, loss: Tensor, parameters: Iterable[nn.Parameter]) -> None:
        """Descend on a loss in these parameters alone, with the optimizer of all.

        Raises:
            ConfigError: If gradients are accumulated, which the step would mix up.
        """
        if self.trainer.accumulate_grad_batches != 1:
            raise ConfigError("This method takes several steps for a batch and cannot accumulate: set trainer.accumulate_grad_batches=1.")
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        chosen = list(parameters)
        self.step_losses = {"extra_step": loss.detach()}
        gradients = torch.autograd.grad(spread(loss), chosen)
        # Parameters without a gradient stay as they are, and so does what the optimizer remembers of them. Those of the
        # step before are still there: Lightning clears them only after the training_step that follows.
        optimizer.zero_grad()
        for parameter, gradient in zip(chosen, gradients, strict=True):
            # Lightning averages over devices only what it sees of a step.
            parameter.grad = self.trainer.strategy.reduce(gradient, reduce_op="mean")
        # As Lightning does before the steps that it takes itself.
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            callback.on_before_optimizer_step(self.trainer, self, optimizer)
        self.clip_gradients(optimizer)
        optimizer.step()
        optimizer.zero_grad()
        # Under autocast, passes that follow would use copies of the weights from before the step.
        torch.clear_autocast_cache()
