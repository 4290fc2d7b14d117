"""What passes between the data, the model and the method.

NamedTuples, because collation, memory pinning and Lightning's transfer to a device handle them as they are.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from acclimate.inputs import Inputs, count

Domain = Literal["source", "target"]
Part = Literal["train", "val", "test"]

NO_SAMPLES = torch.empty(0, dtype=torch.int64)


class Needs(NamedTuple):
    """What a method needs of the run that trains it.

    Every method declares its own as the class attribute `needs`, which the run reads before it builds the data.

    Attributes:
        source: `labelled` takes source inputs with their labels. `unlabelled` takes them without, for self-supervised training of
            the features: the head stays as it is and its predictions mean nothing. `none` takes no source, but a trained classifier.
        target: Whether it looks at unlabelled inputs of the target.
        target_labels: Whether a few labelled inputs of the target may train beside them.
        views: `one` of each input; `strong`: also a strongly augmented one of each target input; `pair`: two strongly
            augmented ones of each input of both domains.
        inputs: `any` includes `Features`; `raw` does not; `images` are pictures.
        trained_features: Whether it aligns features, for which a layer in front of the head must train.
        pretrained_head: Whether it needs the head that the backbone's weights came with.
        batch_size: How many inputs of each domain a batch must have at least.
    """

    source: Literal["labelled", "unlabelled", "none"] = "labelled"
    target: bool = True
    target_labels: bool = True
    views: Literal["one", "strong", "pair"] = "one"
    inputs: Literal["any", "raw", "images"] = "any"
    trained_features: bool = True
    pretrained_head: bool = False
    batch_size: int = 1

    @property
    def is_self_supervised(self) -> bool:
        return self.source == "unlabelled"

    @property
    def fewest_inputs(self) -> int:
        """How many inputs of each domain a batch must have, so that there is something to compare them with."""
        return max(self.batch_size, 2 if self.views == "pair" or self.trained_features else 1)


class Labelled(NamedTuple):
    """Inputs and their labels, int64, shape (N,).

    N is 0 in the batches of a method that takes no source. Where training mixes, smooths or weights labels, they are rows of
    shares, shape (N, K), see `SoftLabels`. A self-supervised method gets no labels, shape (0,), and perhaps a second view.
    Where the backbone is frozen, all inputs may be `Features`.
    """

    inputs: Inputs
    labels: Tensor
    second_view: Inputs | None = None

    @property
    def views(self) -> list[Inputs]:
        """The inputs in their one or two views."""
        return [self.inputs] if self.second_view is None else [self.inputs, self.second_view]

    @property
    def num_inputs(self) -> int:
        """N."""
        return count(self.inputs)


class Unlabelled(NamedTuple):
    """Inputs without labels, each in one or more views.

    There is no field for labels, so what is handed to a method cannot leak one. In training `samples` says which inputs
    they are, as places in the target's training part, int64, shape (N,), for methods that remember something of each.
    """

    views: list[Inputs]
    samples: Tensor = NO_SAMPLES

    @property
    def inputs(self) -> Inputs:
        """The first view."""
        return self.views[0]

    @property
    def num_inputs(self) -> int:
        """N."""
        return count(self.inputs)


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


class LabelledPass(NamedTuple):
    """Inputs of a training batch that come with labels, and what the classifier says of them.

    Attributes:
        views: As in `Labelled`.
        labels: As in `Labelled`.
        features: Those of the first view, shape (N, D).
        logits: Shape (N, K).
        hidden: Outputs of the layers that the method records, see `Method.recorded`.
    """

    views: Sequence[Inputs]
    labels: Tensor
    features: Tensor
    logits: Tensor
    hidden: Sequence[Tensor] = ()

    @property
    def inputs(self) -> Inputs:
        """The first view."""
        return self.views[0]


class UnlabelledPass(NamedTuple):
    """Inputs of a training batch that come without labels, and what the classifier says of them.

    Attributes:
        views: As in `Unlabelled`.
        samples: As in `Unlabelled`.
        features: Those of the first view, shape (N, D).
        logits: Shape (N, K).
    """

    views: Sequence[Inputs]
    samples: Tensor
    features: Tensor
    logits: Tensor

    @property
    def inputs(self) -> Inputs:
        """The first view."""
        return self.views[0]


class TrainingInputs(Protocol):
    """All inputs of the training parts, as evaluation sees them, which a method may ask for beside its batches."""

    def labelled_source(self) -> Iterable[Labelled]:
        """Return batches of the source."""

    def source_labels(self) -> Tensor:
        """Return the labels of the source, int64, shape (N,)."""

    def unlabelled_target(self) -> Iterable[Unlabelled]:
        """Return batches of the target in the order of `Unlabelled.samples`."""
