"""A multilayer perceptron for vectors: rows of a table, readings of sensors, ready embeddings."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.inputs import VectorSpec, refuse_other_inputs
from acclimate.models.backbones.backbone import Backbone
from acclimate.ranges import Count


class VectorBackbone(Backbone):
    """A network from vectors to features, which standardises each value by its mean and standard deviation over the source.

    Args:
        body: Network from (N, D) to (N, num_features).
        num_features: Width of the features.
        inputs: Specification of the data's vectors.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, *, num_features: int, inputs: VectorSpec) -> None:
        super().__init__(body, num_features=num_features)
        self.register_buffer("mean", torch.zeros(inputs.width) if inputs.mean is None else inputs.mean.clone())
        self.register_buffer("std", torch.ones(inputs.width) if inputs.std is None else inputs.std.clone())

    @property
    def inputs(self) -> VectorSpec:
        return VectorSpec(len(self.mean), self.mean, self.std)

    def forward(self, vectors: Tensor) -> Tensor:
        """Compute features, shape (N, num_features), of vectors, float32, shape (N, D)."""
        features: Tensor = self.body((vectors - self.mean) / self.std)
        return features


def mlp(weights: None = None, *, inputs: VectorSpec, widths: Sequence[Count] = (256, 256)) -> VectorBackbone:
    """Build linear layers with batch norm and ReLU; the features are the outputs of the last one.

    Args:
        weights: There are none to download; `Classifier` loads weights from files.
        inputs: Specification of the vectors.
        widths: Widths of the hidden layers; without any, the features are the standardised vectors, as for ready embeddings.

    Raises:
        ConfigError: If named weights are requested, or the inputs are not vectors.
    """
    refuse_other_inputs(inputs, VectorSpec, "mlp")
    if weights is not None:
        raise ConfigError(f"model.weights={weights} is neither null nor a file: mlp has no weights to download. Use model.weights=null.")
    sizes = [inputs.width, *widths]
    layers = [nn.Sequential(nn.Linear(num_in, num_out), nn.BatchNorm1d(num_out), nn.ReLU()) for num_in, num_out in pairwise(sizes)]
    return VectorBackbone(nn.Sequential(*layers), num_features=sizes[-1], inputs=inputs)
