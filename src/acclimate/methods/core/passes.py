"""The pass of a training batch through the classifier."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from acclimate.models.classifier import Classifier
from acclimate.models.stages import recorded_outputs
from acclimate.types import DomainBatch, Labelled, LabelledPass, Prediction, UnlabelledPass


class Passes(NamedTuple):
    """The parts of a batch that are there, each with what the classifier says of it."""

    source: LabelledPass
    target: UnlabelledPass | None
    labelled_target: LabelledPass | None

    def predictions(self) -> list[Tensor]:
        """Return all features and logits."""
        return [tensor for part in self if part is not None for tensor in (part.features, part.logits)]


def passes(
    batch: DomainBatch,
    classifier: Classifier,
    predict_domains: Callable[[Tensor, Tensor], tuple[Prediction, Prediction]],
    recorded: Sequence[nn.Module],
) -> Passes:
    """Pass a training batch through the classifier.

    The labelled inputs of the target are too few for statistics of their own: they are normalised with the target, or with the
    source if the method does not look at the target.

    Args:
        batch: With or without a target, and with or without labelled inputs of the target.
        classifier: In training mode.
        predict_domains: From the inputs of source and target to the predictions.
        recorded: Modules whose outputs for the source are kept, if there is no target.
    """
    (source, target, few), hidden = batch, list[Tensor]()
    if target is None:
        with recorded_outputs(recorded) as hidden:
            both: Prediction = classifier(_together(source.inputs, few))
        of_source, of_few = _apart(both, few)
        hidden = [output[: len(source.inputs)] for output in hidden]
    else:
        of_source, both = predict_domains(source.inputs, _together(target.inputs, few))
        of_target, of_few = _apart(both, few)
    return Passes(
        LabelledPass(source.views, source.labels, *of_source, hidden),
        None if target is None else UnlabelledPass(target.views, target.samples, *of_target),
        None if few is None or of_few is None else LabelledPass(few.views, few.labels, *of_few),
    )


def _together(inputs: Tensor, few: Labelled | None) -> Tensor:
    return inputs if few is None else torch.cat([inputs, few.inputs])


def _apart(both: Prediction, few: Labelled | None) -> tuple[Prediction, Prediction | None]:
    """Divide the predictions for what `_together` has joined."""
    if few is None:
        return both, None
    num = len(few.inputs)
    return Prediction(both.features[:-num], both.logits[:-num]), Prediction(both.features[-num:], both.logits[-num:])
