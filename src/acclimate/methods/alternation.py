"""Alternating optimisation: additional steps, such as those of an adversary, before the step of the classifier."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.methods.core.not_finite import spread
from acclimate.types import DomainBatch, Labelled, LabelledPass, Unlabelled, UnlabelledPass


class Alternating(Method):
    """A method that takes several optimizer steps per batch: any number of `extra_step`, then the step on its losses.

    A subclass overrides `take_turns` or `train_adversary`.
    """

    def take_turns(self, source: Labelled, target: Unlabelled) -> None:
        """Take extra steps before the forward pass that the losses use; they make their own passes."""

    def train_adversary(self, source: LabelledPass, target: UnlabelledPass) -> None:
        """Take extra steps of the adversary after that pass."""

    def before_pass(self, batch: DomainBatch) -> None:
        if batch.target is not None:
            self.take_turns(batch.source, batch.target)

    def losses(self, source: LabelledPass, target: UnlabelledPass | None) -> dict[str, Tensor]:
        if target is not None:
            self.train_adversary(source, target)
        return super().losses(source, target)

    def extra_step(self, loss: Tensor, parameters: Iterable[nn.Parameter]) -> None:
        """Take an optimizer step on a loss that changes only the given parameters.

        Raises:
            ConfigError: If gradients are accumulated, because the step would clear them.
        """
        if self.trainer.accumulate_grad_batches != 1:
            raise ConfigError(
                "This method takes several steps per batch and cannot accumulate gradients. Set trainer.accumulate_grad_batches=1."
            )
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        chosen = list(parameters)
        self.step_losses = {"extra_step": loss.detach()}
        # A backbone may have weights that it does not use, such as a mask token.
        gradients = torch.autograd.grad(spread(loss), chosen, allow_unused=True)
        # Without a gradient, parameters and their optimizer state stay unchanged. The gradients of the previous step are
        # still set: Lightning clears them only after training_step.
        optimizer.zero_grad()
        for parameter, gradient in zip(chosen, gradients, strict=True):
            # Lightning averages only the gradients of its own step over devices.
            parameter.grad = None if gradient is None else self.trainer.strategy.reduce(gradient, reduce_op="mean")
        # As Lightning does before its own steps.
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            callback.on_before_optimizer_step(self.trainer, self, optimizer)
        self.clip_gradients(optimizer)
        optimizer.step()
        optimizer.zero_grad()
        # Otherwise, under autocast, later passes would use cached copies of the weights from before the step.
        torch.clear_autocast_cache()
