"""A moving average of the weights of a model in training."""

from functools import cache

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from acclimate.ranges import ShareBelowOne


class MovingAverage(AveragedModel):
    """Exponential moving average of a model's weights, itself a model of the same kind.

    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM 1992, with exponential weights as in
    Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017. As in the published code of the latter, the first
    1 / (1 - decay) models count equally, so that the random initial weights are soon forgotten.

    Integers, such as counts of batches, are copied. `n_averaged` counts the models; it is a buffer, so it is part of
    checkpoints.

    Args:
        model: The model in training. The average starts as a copy of it, which does not count as a model.
        decay: Share of the previous average in each update, in [0, 1).
        use_buffers: Whether to average buffers like the weights; otherwise they are copied.
    """

    def __init__(self, model: nn.Module, decay: ShareBelowOne, *, use_buffers: bool = False) -> None:
        super().__init__(model, use_buffers=use_buffers)
        self.requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Update the average with the weights of a model.

        The method of the base class reads its count in each step, which synchronises with a GPU. Here the count stays on the
        device, and the first model, whose share is 1, needs no special case.
        """
        self.n_averaged += 1
        share = cache(self._share)
        for averaged, current in zip(self.module.parameters(), model.parameters(), strict=True):
            averaged.lerp_(current, share(averaged.dtype))
        for averaged_buffer, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            if self.use_buffers and buffer.is_floating_point():
                averaged_buffer.lerp_(buffer, share(buffer.dtype))
            else:
                averaged_buffer.copy_(buffer)

    def _share(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the share of the model in the next update, a scalar on the device."""
        return self.n_averaged.to(dtype).reciprocal().clamp(min=1 - self.decay)
