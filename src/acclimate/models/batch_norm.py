"""Batch norm with two domains."""

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
    """Return all batch-norm layers of a module."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


def adaptable_batch_norms(classifier: Classifier) -> list[_BatchNorm]:
    """Return the batch-norm layers of a classifier whose statistics may change, which excludes a frozen backbone."""
    # Called in every training step, and a frozen backbone may have hundreds of modules.
    parts = [part for part in classifier.children() if not (classifier.frozen and part is classifier.backbone)]
    return [layer for part in parts for layer in batch_norms(part)]


@contextmanager
def fixed_statistics(module: nn.Module) -> Iterator[None]:
    """Context manager in which batch norm normalises by the batch without updating its running statistics."""
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
    """Predict both domains of a training batch.

    Args:
        classifier: The model in training mode; with `frozen`, its batch-norm layers must already be in evaluation mode.
        source: N inputs; N is 0 without a source.
        target: M inputs; M may differ from N.
        batch_norm: `joint` and `frozen` make one pass over both domains. `separate` makes a pass for each, so that each is
            normalised by its own statistics; the running statistics, which evaluation uses, then follow only the target,
            because the model will be used there (as in Li et al., "Revisiting Batch Normalization", 2016).
    """
    num = count(source)
    if batch_norm == "separate" and num:
        with fixed_statistics(classifier):
            source_prediction = classifier(source)
        return source_prediction, classifier(target)
    features, logits = classifier(join(source, target))
    return Prediction(features[:num], logits[:num]), Prediction(features[num:], logits[num:])
