"""What all feature extractors share."""

from abc import abstractmethod
from collections.abc import Callable

from torch import nn

from acclimate.inputs import InputSpec


class Backbone(nn.Module):
    """A network from inputs to features that normalises its own inputs.

    A subclass maps N inputs to features, shape (N, num_features). A function that makes one is called with the keywords
    `weights`, see `Classifier`, and `inputs`, the specification of the data's inputs.

    Args:
        body: The layers that pretrained weights are for.
        num_features: Width of the features.
        make_source_head: Makes the layer from its features to the classes that its weights were trained on, or one of the
            same size if they are random; None if there is none. The layer belongs to no checkpoint unless a method takes it.

    Attributes:
        inputs: Specification of the inputs that it takes, with nothing left open.
    """

    def __init__(self, body: nn.Module, *, num_features: int, make_source_head: Callable[[], nn.Linear] | None = None) -> None:
        super().__init__()
        self.body = body
        self.num_features = num_features
        self.make_source_head = make_source_head

    @property
    @abstractmethod
    def inputs(self) -> InputSpec: ...
