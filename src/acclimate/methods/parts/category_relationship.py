"""What a pretrained model's classes have to do with the classes of a task."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Inverse strengths of the penalty, and factors of the logits, that are tried.
STRENGTHS = tuple(10.0**power for power in range(4, -5, -1))
SCALES = torch.logspace(-2, 2, 401, dtype=torch.float64)
# One input of so many of a class is held out.
HELD_OUT = 4


def direct_relationship(probabilities: Tensor, labels: Tensor, *, num_classes: int) -> Tensor:
    """p(pretrained class | class): the mean of the pretrained model's predictions for the inputs of each class.

    The direct approach of You et al., "Co-Tuning for Transfer Learning", NeurIPS 2020.

    Args:
        probabilities: Of S pretrained classes, shape (N, S).
        labels: int64 in [0, K), shape (N,). A class without inputs gets the mean of all.
        num_classes: K.

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
    """p(pretrained class | class) by Bayes' rule from a calibrated p(class | pretrained class).

    The reverse approach of You et al., "Co-Tuning for Transfer Learning", NeurIPS 2020: a logistic regression without
    intercept from the pretrained model's predictions to the classes, whose prediction for a certain pretrained class is
    p(class | pretrained class). As in the published code, held-out inputs decide how strong its penalty is and calibrate it by
    a factor of its logits; and p(pretrained class) is the mean prediction. Departures: held out is every fourth input of a
    class, and not those of another part, which here select the checkpoint; and the pretrained model's own logits are not
    calibrated, for which one would need the inputs that it was trained on.

    Args:
        probabilities: Of S pretrained classes, shape (N, S).
        labels: int64 in [0, K), shape (N,).
        num_classes: K.

    Returns:
        Shape (K, S); each row sums to 1.
    """
    inputs = probabilities.double()
    is_held_out = _held_out(labels, num_classes)
    # Of a handful of inputs none can be spared.
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
    """The weights, shape (K, S), that minimise |W|² / 2 + strength · the sum of the cross-entropies; there is no intercept.

    Args:
        inputs: float64, shape (N, S).
        labels: int64 in [0, K), shape (N,).
        num_classes: K.
        strength: Above 0.
    """
    weights = inputs.new_zeros(num_classes, inputs.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        # In units in which the cross-entropies count 1, whatever the strength.
        value = F.cross_entropy(inputs @ weights.T, labels) + weights.square().sum() / (2 * strength * len(labels))
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(objective)  # type: ignore[no-untyped-call]
    return weights.detach()


def _held_out(labels: Tensor, num_classes: int) -> Tensor:
    """Whether each input is the last of so many of its class, shape (N,)."""
    counted = F.one_hot(labels, num_classes).cumsum(dim=0).gather(1, labels[:, None]).squeeze(1)
    return counted % HELD_OUT == 0
