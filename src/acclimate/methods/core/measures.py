"""Measures of the adaptation in a training step, computed only in steps that are logged."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from acclimate.losses.adversarial import accuracy_by_domain, domain_accuracy
from acclimate.methods.core.module import ClassifierModule
from acclimate.types import LabelledPass, UnlabelledPass

# The losses of labelled inputs; all others adapt to the target.
TASK = ("classification", "target_classification", "second_classification")


def log_domain_accuracies(method: ClassifierModule, logits: Tensor, *, num_source: int) -> None:
    """Log the accuracy of a discriminator on both domains and on each of them.

    Args:
        method: The method whose discriminator it is.
        logits: Shape (N, 1) or (N,); positive means source.
        num_source: Number of source samples, which come first.
    """
    method.log("adaptation/domain_accuracy", lambda: domain_accuracy(logits, num_source=num_source))
    method.log("adaptation/source_domain_accuracy", lambda: accuracy_by_domain(logits, num_source=num_source)[0])
    method.log("adaptation/target_domain_accuracy", lambda: accuracy_by_domain(logits, num_source=num_source)[1])


def log_source_accuracy(method: ClassifierModule, source: LabelledPass) -> None:
    """Log the accuracy on the source's inputs of the batch; of soft labels, the largest share counts."""
    method.log("source/train_accuracy", lambda: _accuracy(source.logits, source.labels), batch_size=len(source.labels))


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    classes = labels if labels.ndim == 1 else labels.argmax(dim=1)
    return (logits.argmax(dim=1) == classes).float().mean()


def log_gradient_ratio(method: ClassifierModule, losses: Mapping[str, Tensor], source: LabelledPass, target: UnlabelledPass) -> None:
    """Log the norm of the gradient that the features receive from adaptation, relative to that from classification.

    Nothing is logged if there is no loss of one of these kinds, if no layer below the features is trained, or if the classifier is
    compiled, because its logits are then no function of its features.

    Args:
        method: The method.
        losses: The losses of the step by name.
        source: Predictions for the source.
        target: Predictions for the target.
    """
    task = [loss for name, loss in losses.items() if name in TASK]
    adaptation = [loss for name, loss in losses.items() if name not in TASK]
    features = _whole([features for features in (source.features, target.features) if features.requires_grad])
    is_compiled = getattr(method.classifier, "_compiled_call_impl", None) is not None
    if task and adaptation and features and not is_compiled:
        method.log("adaptation/gradient_ratio", lambda: gradient_norm(adaptation, features) / gradient_norm(task, features))


def _whole(features: Sequence[Tensor]) -> list[Tensor]:
    """Return the features of whole passes: where features are some rows of a pass, its logits are no function of these rows."""
    bases = [rows if rows._base is None else rows._base for rows in features]
    return list({id(base): base for base in bases}.values())


def gradient_norm(losses: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """Return the norm of the gradient of a sum of losses on features; the backward pass ends there, so it costs little.

    Args:
        losses: One or more scalars.
        features: Tensors that the losses may depend on.
    """
    total = torch.stack(list(losses)).sum()
    if not total.requires_grad:
        return torch.zeros_like(total)
    gradients = torch.autograd.grad(total, list(features), retain_graph=True, allow_unused=True, materialize_grads=True)
    norm: Tensor = torch.stack([gradient.float().norm() for gradient in gradients]).norm()
    return norm
