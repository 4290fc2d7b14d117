"""What passes between the data, the model and the method.

NamedTuples, because collation, memory pinning and Lightning's transfer to a device handle them as they are.
"""

from typing import Literal, NamedTuple

from torch import Tensor

Domain = Literal["source", "target"]
Part = Literal["train", "val", "test"]


class Labelled(NamedTuple):
    """Inputs and their labels; images are uint8 or float in [0, 1], shape (N, 3, H, W), and labels int64, shape (N,).

    N is 0 in the batches of a method that takes no source. Where training mixes, smooths or weights labels, they are rows of
    shares, shape (N, K), see `SoftLabels`. A self-supervised method gets no labels, shape (0,), and perhaps a second view.
    Of a frozen backbone, these and other inputs may be features that it has computed before, shape (N, D).
    """

    inputs: Tensor
    labels: Tensor
    second_view: Tensor | None = None

    @property
    def views(self) -> list[Tensor]:
        """The inputs in their one or two views."""
        return [self.inputs] if self.second_view is None else [self.inputs, self.second_view]


class Unlabelled(NamedTuple):
    """Inputs without labels, each in one or more views: a list of tensors, of images with the shape (N, 3, H, W).

    There is no field for labels, so what is handed to a method cannot leak one. In training `samples` says which inputs
    they are, as places in the target's training part, int64, shape (N,), for methods that remember something of each.
    """

    views: list[Tensor]
    samples: Tensor | None = None

    @property
    def inputs(self) -> Tensor:
        """The first view."""
        return self.views[0]


class DomainBatch(NamedTuple):
    """One training batch; the target is None where there is none or the method does not look at it.

    `target_labelled` are the few inputs of the target whose labels may train, see `data.target_labels_per_class`, or None.
    """

    source: Labelled
    target: Unlabelled | None
    target_labelled: Labelled | None = None


class Prediction(NamedTuple):
    """A classifier's predictions for N inputs: features, shape (N, D), and logits, shape (N, K)."""

    features: Tensor
    logits: Tensor
