"""Batch norm that takes some channels' statistics from the batch and the others' from what it has seen before."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from acclimate.errors import ConfigError


class StochNorm(_BatchNorm):
    """Stochastic normalisation: in training, every channel draws whose mean and variance it is normalised by.

    Kou et al., "Stochastic Normalization", NeurIPS 2020: a branch for the statistics of the mini-batch and one for the
    moving statistics, which know the pretraining. As in the authors' code, the moving statistics are those from before
    the batch, which then moves them as in batch norm. Evaluation is that of batch norm.

    Args:
        layer: Whose parameters, statistics and mode it takes over, under the same names.
        selection_rate: p, in [0, 1], the probability that a channel is normalised by the batch; 1 is batch norm.
    """

    def __init__(self, layer: _BatchNorm, *, selection_rate: float) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, layer.affine)
        for name, tensor in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            setattr(self, name, tensor)
        # Layers of timm that are fused with a dropout and an activation hold these as children and apply them in this order.
        for name, child in layer.named_children():
            self.add_module(name, child)
        self.selection_rate = selection_rate
        self.training = layer.training

    def forward(self, inputs: Tensor) -> Tensor:
        """Of the shape of the inputs, (N, C, ...)."""
        if self.training:
            assert self.running_mean is not None
            assert self.running_var is not None
            # Copies, because the branch of the batch changes the originals and the gradient needs them as they were.
            statistics = self.running_mean.clone(), self.running_var.clone()
            by_moving = F.batch_norm(inputs, *statistics, self.weight, self.bias, eps=self.eps)
            by_batch = super().forward(inputs)
            selected = torch.rand(self.num_features, device=inputs.device) < self.selection_rate
            outputs = torch.where(selected.view(-1, *(1 for _ in inputs.shape[2:])), by_batch, by_moving)
        else:
            outputs = super().forward(inputs)
        for child in self.children():
            outputs = child(outputs)
        return outputs

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions will do."""


def replace_batch_norm(module: nn.Module, *, selection_rate: float) -> None:
    """Puts `StochNorm` in the place of all batch-norm layers below a module.

    Args:
        module: Changed in place; names in its state dict, and its outputs in evaluation mode, stay what they are.
        selection_rate: p, in [0, 1].

    Raises:
        ConfigError: If there is no batch norm with moving statistics.
    """
    found = [
        (parent, name, layer)
        for parent in module.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    if not found:
        raise ConfigError("method=stoch_norm replaces batch norm, and the backbone has none. Use method=fine_tune.")
    for parent, name, layer in found:
        setattr(parent, name, StochNorm(layer, selection_rate=selection_rate))
