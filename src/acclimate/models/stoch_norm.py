"""Stochastic normalisation: batch norm with a random choice between batch and running statistics."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from acclimate.errors import ConfigError


class StochNorm(_BatchNorm):
    """Stochastic normalisation: in training, each channel uses batch or running statistics at random.

    Kou et al., "Stochastic Normalization", NeurIPS 2020: one branch uses the statistics of the mini-batch and the other one
    the running statistics, which come from pretraining. As in the authors' code, the running statistics are those from
    before the batch, which then updates them as in batch norm. Evaluation is the same as for batch norm.

    Args:
        layer: The batch norm to replace; its parameters, statistics and mode are kept under the same names.
        selection_rate: p, the probability that a channel is normalised by the batch, in [0, 1]; 1 is batch norm.
    """

    def __init__(self, layer: _BatchNorm, *, selection_rate: float) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, layer.affine)
        for name, tensor in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            setattr(self, name, tensor)
        # Layers of timm with a fused dropout and activation have these as children, in the order in which they are applied.
        for name, child in layer.named_children():
            self.add_module(name, child)
        self.selection_rate = selection_rate
        self.training = layer.training

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise inputs of shape (N, C, ...)."""
        if self.training:
            assert self.running_mean is not None
            assert self.running_var is not None
            # Copies, because the batch branch modifies the originals and the gradient needs the values before that.
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
        """Accept inputs with any number of dimensions."""


def replace_batch_norm(module: nn.Module, *, selection_rate: float) -> None:
    """Replace all batch-norm layers inside a module by `StochNorm`.

    Args:
        module: The module, changed in place; its state dict and its outputs in evaluation mode do not change.
        selection_rate: p, in [0, 1].

    Raises:
        ConfigError: If there is no batch norm with running statistics.
    """
    found = [
        (parent, name, layer)
        for parent in module.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    if not found:
        raise ConfigError("method=stoch_norm replaces batch norm, but the backbone has none. Use method=fine_tune.")
    for parent, name, layer in found:
        setattr(parent, name, StochNorm(layer, selection_rate=selection_rate))
