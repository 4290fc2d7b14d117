"""The base class of feature extractors."""

from abc import abstractmethod
from collections.abc import Callable

from torch import nn

from acclimate.inputs import InputSpec


class Backbone(nn.Module):
    """Base class of networks from inputs to features, including the normalisation of inputs.

    A subclass maps N inputs to features, shape (N, num_features). A function that builds one is called with the keywords
    `weights`, see `Classifier`, and `inputs`, the specification of the data's inputs.

    Args:
        body: The layers with pretrained weights.
        num_features: Width of the features.
        make_source_head: Function that builds the layer from the features to the classes of the pretrained weights, or a
            random one of the same size; None if there is none. Checkpoints contain it only if a method uses it.

    Attributes:
        inputs: Complete specification of its inputs.
    """

    def __init__(self, body: nn.Module, *, num_features: int, make_source_head: Callable[[], nn.Linear] | None = None) -> None:
        super().__init__()
        self.body = body
        self.num_features = num_features
        self.make_source_head = make_source_head

    @property
    @abstractmethod
    def inputs(self) -> InputSpec: ...
