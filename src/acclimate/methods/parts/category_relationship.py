"""Relationship between the classes of a pretrained model and the classes of a task."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Candidates for the inverse strength of the penalty and for the factor of the logits.
STRENGTHS = tuple(10.0**power for power in range(4, -5, -1))
SCALES = torch.logspace(-2, 2, 401, dtype=torch.float64)
# Every fourth input of a class is held out.
HELD_OUT = 4


def direct_relationship(probabilities: Tensor, labels: Tensor, *, num_classes: int) -> Tensor:
    """Estimate p(pretrained class | class) as the mean prediction of the pretrained model for the inputs of each class.

    The direct approach of You et al., "Co-Tuning for Transfer Learning", NeurIPS 2020.

    Args:
        probabilities: Probabilities of S pretrained classes, shape (N, S).
        labels: int64 in [0, K), shape (N,). A class without inputs gets the mean over all inputs.
        num_classes: K, the number of classes.

    Returns:
        Shape (K, S); each row sums to 1.

    >>> direct_relationship(torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.0, 1.0]]), torch.tensor([0, 0, 1]), num_classes=2)
    tensor([[0.6000, 0.4000],
            [0.0000, 1.0000]])
    """
    means = [
        probabilities[labels == label].mean(dim=0) if (labels == label).any() else probabilities.mean(dim=0) for label in range(num_classes)
    ]
    return torch.stack(means)


def calibrated_relationship(probabilities: Tensor, labels: Tensor, *, num_classes: int) -> Tensor:
    """Estimate p(pretrained class | class) by Bayes' rule from a calibrated p(class | pretrained class).

    The reverse approach of You et al., "Co-Tuning for Transfer Learning", NeurIPS 2020: a logistic regression without
    intercept from the pretrained model's predictions to the classes, whose prediction for a one-hot pretrained class is
    p(class | pretrained class). As in the published code, held-out inputs determine the strength of its penalty and a
    calibrating factor of its logits, and p(pretrained class) is the mean prediction. Departures: every fourth input of a
    class is held out, instead of the validation part, which selects the checkpoint here; and the pretrained model's own
    logits are not calibrated, which would need its training data.

    Args:
        probabilities: Probabilities of S pretrained classes, shape (N, S).
        labels: int64 in [0, K), shape (N,).
        num_classes: K, the number of classes.

    Returns:
        Shape (K, S); each row sums to 1.
    """
    inputs = probabilities.double()
    is_held_out = _held_out(labels, num_classes)
    # With too few inputs to hold any out, fit and calibrate on the same ones.
    fitted, held_out = (~is_held_out, is_held_out) if is_held_out.any() else (~is_held_out, ~is_held_out)
    best, best_accuracy = inputs.new_zeros(num_classes, inputs.shape[1]), -1.0
    for strength in STRENGTHS:
        weights = logistic_regression(inputs[fitted], labels[fitted], num_classes=num_classes, strength=strength)
        accuracy = float(((inputs[held_out] @ weights.T).argmax(dim=1) == labels[held_out]).double().mean())
        if accuracy > best_accuracy:
            best, best_accuracy = weights, accuracy
    logits = inputs[held_out] @ best.T
    scales = SCALES.to(inputs.device)
    scale = scales[torch.stack([F.cross_entropy(factor * logits, labels[held_out]) for factor in scales]).nan_to_num(torch.inf).argmin()]
    joint = inputs.mean(dim=0) * (scale * best).softmax(dim=0)
    relationship: Tensor = joint / joint.sum(dim=1, keepdim=True).clamp_min(torch.finfo(joint.dtype).tiny)
    return relationship.to(probabilities.dtype)


def logistic_regression(inputs: Tensor, labels: Tensor, *, num_classes: int, strength: float) -> Tensor:
    """Fit a logistic regression without intercept: minimise |W|² / 2 + strength · the sum of the cross-entropies.

    Args:
        inputs: float64, shape (N, S).
        labels: int64 in [0, K), shape (N,).
        num_classes: K, the number of classes.
        strength: Inverse strength of the penalty, above 0.

    Returns:
        The weights W, shape (K, S).
    """
    weights = inputs.new_zeros(num_classes, inputs.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        # Scaled to the mean cross-entropy, so that the tolerances do not depend on the strength.
        value = F.cross_entropy(inputs @ weights.T, labels) + weights.square().sum() / (2 * strength * len(labels))
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(objective)  # type: ignore[no-untyped-call]
    return weights.detach()


def _held_out(labels: Tensor, num_classes: int) -> Tensor:
    """Return a mask of every fourth input of each class, shape (N,)."""
    counted = F.one_hot(labels, num_classes).cumsum(dim=0).gather(1, labels[:, None]).squeeze(1)
    return counted % HELD_OUT == 0
