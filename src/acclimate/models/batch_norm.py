"""Which samples batch norm normalises together when a method sees two domains."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from acclimate.inputs import Inputs, count, join
from acclimate.models.classifier import Classifier
from acclimate.types import Prediction

BatchNormPolicy = Literal["joint", "separate", "frozen"]


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """All batch-norm layers of a module."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


def adaptable_batch_norms(classifier: Classifier) -> list[_BatchNorm]:
    """The batch-norm layers of a classifier whose statistics may change: those of a frozen backbone may not."""
    # Every training step asks, and a frozen backbone may have hundreds of modules.
    parts = [part for part in classifier.children() if not (classifier.frozen and part is classifier.backbone)]
    return [layer for part in parts for layer in batch_norms(part)]


@contextmanager
def fixed_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, batch norm still normalises by the batch, but its running statistics stay as they are."""
    layers = adaptable_batch_norms(module) if isinstance(module, Classifier) else batch_norms(module)
    tracking = [layer for layer in layers if layer.track_running_stats]
    for layer in tracking:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in tracking:
            layer.track_running_stats = True


def predict_domains(
    classifier: Classifier, source: Inputs, target: Inputs, *, batch_norm: BatchNormPolicy
) -> tuple[Prediction, Prediction]:
    """Predictions for both domains of a training batch.

    Args:
        classifier: In training mode; with `frozen`, its batch-norm layers must be in evaluation mode already.
        source: N inputs; N is 0 where there is no source.
        target: M inputs; M may differ from N.
        batch_norm: `joint` and `frozen` make one pass over both. `separate` makes a pass for each, so that each is
            normalised by its own statistics; the running ones, which evaluation uses, then follow the target alone,
            because that is where the model is to be used (as in Li et al., "Revisiting Batch Normalization", 2016).
    """
    num = count(source)
    if batch_norm == "separate" and num:
        with fixed_statistics(classifier):
            source_prediction = classifier(source)
        return source_prediction, classifier(target)
    features, logits = classifier(join(source, target))
    return Prediction(features[:num], logits[:num]), Prediction(features[num:], logits[num:])
