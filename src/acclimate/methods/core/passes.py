"""The forward pass of a training batch."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from acclimate.inputs import Inputs, join
from acclimate.models.classifier import Classifier
from acclimate.models.stages import recorded_outputs
from acclimate.types import DomainBatch, Labelled, LabelledPass, Prediction, UnlabelledPass


class Passes(NamedTuple):
    """The parts of a batch, each with the classifier's predictions; None: the batch has no such part."""

    source: LabelledPass
    target: UnlabelledPass | None
    labelled_target: LabelledPass | None

    def predictions(self) -> list[Tensor]:
        """Return all features and logits."""
        return [tensor for part in self if part is not None for tensor in (part.features, part.logits)]


def passes(
    batch: DomainBatch,
    classifier: Classifier,
    predict_domains: Callable[[Inputs, Inputs], tuple[Prediction, Prediction]],
    recorded: Sequence[nn.Module],
) -> Passes:
    """Run a classifier on a training batch.

    Labelled target inputs are too few for their own batch-norm statistics: they are normalised with the target, or with the
    source if the method does not use the target.

    Args:
        batch: The batch; the target and the labelled target inputs are optional.
        classifier: The model, in training mode.
        predict_domains: Function from the inputs of source and target to their predictions.
        recorded: Modules whose outputs for the source are kept, if there is no target.
    """
    (source, target, few), hidden = batch, list[Tensor]()
    if target is None:
        with recorded_outputs(recorded) as hidden:
            both: Prediction = classifier(_together(source.inputs, few))
        of_source, of_few = _apart(both, few)
        hidden = [output[: source.num_inputs] for output in hidden]
    else:
        of_source, both = predict_domains(source.inputs, _together(target.inputs, few))
        of_target, of_few = _apart(both, few)
    return Passes(
        LabelledPass(source.views, source.labels, *of_source, hidden, source.domains),
        None if target is None else UnlabelledPass(target.views, target.samples, *of_target, target.domains),
        None if few is None or of_few is None else LabelledPass(few.views, few.labels, *of_few, domains=few.domains),
    )


def _together(inputs: Inputs, few: Labelled | None) -> Inputs:
    return inputs if few is None else join(inputs, few.inputs)


def _apart(both: Prediction, few: Labelled | None) -> tuple[Prediction, Prediction | None]:
    """Split the predictions for inputs that `_together` joined."""
    if few is None:
        return both, None
    num = few.num_inputs
    return Prediction(both.features[:-num], both.logits[:-num]), Prediction(both.features[-num:], both.logits[-num:])
