"""Types that pass between the data, the model and the method.

They are NamedTuples, which collation, memory pinning and Lightning's transfer to a device support.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol, get_args

import torch
from torch import Tensor

from acclimate.inputs import Inputs, count

Domain = Literal["source", "target"]
Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

NO_SAMPLES = torch.empty(0, dtype=torch.int64)


class Needs(NamedTuple):
    """Needs of a method, on which its run depends.

    Every method declares them as the class attribute `needs`, which the run reads before it builds the data.

    Attributes:
        source: `labelled`: source inputs with labels. `unlabelled`: source inputs without labels, for self-supervised training
            of the features, in which the head is not trained. `none`: no source, but a trained classifier.
        target: True if the method uses unlabelled inputs of the target.
        target_labels: True if a few labelled inputs of the target may be used in addition.
        views: `one`: one view of each input; `strong`: also a strongly augmented view of each target input; `pair`: two
            strongly augmented views of each input of both domains.
        inputs: `any` includes `Features`; `raw` does not; `mixable`: raw inputs with `InputSpec.can_be_mixed`; `images`: only
            images.
        trained_features: True if the method aligns features, so that a layer before the head must be trainable.
        pretrained_head: True if the method needs the head of the backbone's pretrained weights.
        batch_size: Smallest number of inputs of each domain in a batch.
    """

    source: Literal["labelled", "unlabelled", "none"] = "labelled"
    target: bool = True
    target_labels: bool = True
    views: Literal["one", "strong", "pair"] = "one"
    inputs: Literal["any", "raw", "mixable", "images"] = "any"
    trained_features: bool = True
    pretrained_head: bool = False
    batch_size: int = 1

    @property
    def is_self_supervised(self) -> bool:
        """True if the method uses no source labels."""
        return self.source == "unlabelled"

    @property
    def fewest_inputs(self) -> int:
        """Smallest number of inputs of each domain in a batch, including the inputs needed for comparisons."""
        return max(self.batch_size, 2 if self.views == "pair" or self.trained_features else 1)


class Labelled(NamedTuple):
    """Inputs and their labels, int64, shape (N,).

    N is 0 in the batches of a method without a source. If labels are mixed, smoothed or weighted, they are class probabilities,
    shape (N, K), see `SoftLabels`. A self-supervised method gets no labels, shape (0,), and possibly a second view. If the
    backbone is frozen, all inputs may be `Features`. With several sources or targets, `domains` are their numbers, int64,
    shape (N,); otherwise it is None.
    """

    inputs: Inputs
    labels: Tensor
    second_view: Inputs | None = None
    domains: Tensor | None = None

    @property
    def views(self) -> list[Inputs]:
        """Inputs in one or two views."""
        return [self.inputs] if self.second_view is None else [self.inputs, self.second_view]

    @property
    def num_inputs(self) -> int:
        """N."""
        return count(self.inputs)


class Unlabelled(NamedTuple):
    """Inputs without labels, each in one or more views.

    There is no field for labels, so the batches of a method cannot leak them. In training, `samples` are the indices of the
    inputs in the target's training part, int64, shape (N,), for methods with state for each input. `domains` is as in `Labelled`.
    """

    views: list[Inputs]
    samples: Tensor = NO_SAMPLES
    domains: Tensor | None = None

    @property
    def inputs(self) -> Inputs:
        """Inputs in the first view."""
        return self.views[0]

    @property
    def num_inputs(self) -> int:
        """N."""
        return count(self.inputs)


class DomainBatch(NamedTuple):
    """A training batch; the target is None if there is none or the method does not use it.

    `target_labelled` are the labelled target inputs of `data.target_labels_per_class`, or None.
    """

    source: Labelled
    target: Unlabelled | None
    target_labelled: Labelled | None = None


class Prediction(NamedTuple):
    """A classifier's predictions for N inputs: features, shape (N, D), and logits, shape (N, K)."""

    features: Tensor
    logits: Tensor


class LabelledPass(NamedTuple):
    """Labelled inputs of a training batch, and the classifier's predictions for them.

    Attributes:
        views: As in `Labelled`.
        labels: As in `Labelled`.
        features: Features of the first view, shape (N, D).
        logits: Logits of the first view, shape (N, K).
        hidden: Outputs of the layers that the method records, see `Method.recorded`.
        domains: As in `Labelled`.
    """

    views: Sequence[Inputs]
    labels: Tensor
    features: Tensor
    logits: Tensor
    hidden: Sequence[Tensor] = ()
    domains: Tensor | None = None

    @property
    def inputs(self) -> Inputs:
        """Inputs in the first view."""
        return self.views[0]


class UnlabelledPass(NamedTuple):
    """Unlabelled inputs of a training batch, and the classifier's predictions for them.

    Attributes:
        views: As in `Unlabelled`.
        samples: As in `Unlabelled`.
        features: Features of the first view, shape (N, D).
        logits: Logits of the first view, shape (N, K).
        domains: As in `Labelled`.
    """

    views: Sequence[Inputs]
    samples: Tensor
    features: Tensor
    logits: Tensor
    domains: Tensor | None = None

    @property
    def inputs(self) -> Inputs:
        """Inputs in the first view."""
        return self.views[0]


class TrainingInputs(Protocol):
    """All inputs of the training parts without augmentation, which a method may request in addition to its batches."""

    def labelled_source(self) -> Iterable[Labelled]:
        """Return batches of the source."""

    def source_labels(self) -> Tensor:
        """Return the labels of the source, int64, shape (N,)."""

    def unlabelled_target(self) -> Iterable[Unlabelled]:
        """Return batches of the target in the order of `Unlabelled.samples`."""
