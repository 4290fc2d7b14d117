"""Losses that train on the model's own predictions for unlabelled target inputs, taken as if they were labels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.precision import in_float32
from acclimate.ranges import Share, ShareBelowOne


@in_float32
def fixmatch(logits: Tensor, strong_logits: Tensor, *, threshold: Share = 0.95) -> Tensor:
    """Cross-entropy of a strongly augmented view against the label that is predicted for a weakly augmented one.

    Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", NeurIPS 2020, as in the published code.
    Only samples whose label is predicted with a probability of at least `threshold` count, but the sum is divided by
    the number of all samples: the term grows as the model becomes confident. Labels are constants for the gradient.

    Args:
        logits: Of the weak view, shape (N, K), N at least 1. Computed in float32 at least.
        strong_logits: Of the strong view of the same inputs, shape (N, K).
        threshold: τ, in [0, 1]; the paper has 0.95.

    Returns:
        A scalar, at least 0; 0 with zero gradient when no sample is confident.

    Raises:
        ValueError: If the threshold is out of range, the logits are not a matrix, or the shapes differ.

    >>> certain, unsure = [9.0, 0.0], [0.1, 0.0]
    >>> float(fixmatch(torch.tensor([certain, unsure]), torch.zeros(2, 2))).__round__(4)  # log(2) / 2
    0.3466
    """
    if logits.shape != strong_logits.shape:
        raise ValueError(f"Expected logits of the same inputs, but got {tuple(logits.shape)} and {tuple(strong_logits.shape)}.")
    return _cross_entropy_of_confident(strong_logits, logits, threshold)


@in_float32
def pseudo_label(logits: Tensor, progress: float, *, start: ShareBelowOne, end: Share, threshold: Share = 0.0) -> Tensor:
    """Cross-entropy of predictions against the class that each holds for the most probable, with a weight that grows.

    Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks", ICML Workshop on
    Challenges in Representation Learning, 2013, Eq. 15 and 16. Wrong labels harm a model that has learnt little, so α is 0
    up to `start` and rises linearly to 1 at `end`; the paper's final α is the weight of the term. Labels are constants for
    the gradient.

    Args:
        logits: Target logits, shape (N, K), N at least 1. Computed in float32 at least.
        progress: Of the training, in [0, 1].
        start: The share of the training after which α begins to rise.
        end: The share after which it rises no more, above `start`.
        threshold: The probability, in [0, 1], from which on a label counts; the paper counts all, which 0 does. The sum
            is divided by the number of all samples, as in `fixmatch`.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: If the shares or the threshold are out of range, or the logits are not a matrix.

    >>> round(float(pseudo_label(torch.zeros(3, 2), 0.25, start=0.0, end=0.5)), 4)  # log(2) / 2
    0.3466
    """
    if not 0 <= start < end <= 1:
        raise ValueError(f"start and end must be shares of the training with 0 <= start < end <= 1, but are {start} and {end}.")
    alpha = min(max((progress - start) / (end - start), 0.0), 1.0)
    return alpha * _cross_entropy_of_confident(logits, logits, threshold)


@in_float32
def teacher_consistency(logits: Tensor, teacher_logits: Tensor, *, threshold: float = 0.968) -> Tensor:
    """Squared difference between the probabilities of a student and of its teacher, where the teacher is confident.

    French, Mackiewicz and Fisher, "Self-ensembling for Visual Domain Adaptation", ICLR 2018, as in the published code: the
    mean over the classes and over all samples, of which those count as 0 whose most probable class has less than the
    threshold in the teacher's eyes. The teacher's predictions are constants for the gradient.

    Args:
        logits: The student's, shape (N, K), N at least 1. Computed in float32 at least.
        teacher_logits: The teacher's for the same inputs, shape (N, K).
        threshold: In [0, 1]; 0 counts all samples, as Tarvainen and Valpola (NeurIPS 2017) do.

    Returns:
        A scalar in [0, 2 / K]; 0 with zero gradient when the teacher is confident of no sample.

    Raises:
        ValueError: If the threshold is out of range, the logits are not a matrix, or the shapes differ.

    >>> certain = torch.tensor([[99.0, 0.0]])
    >>> float(teacher_consistency(torch.zeros(1, 2), certain))  # (1/2)² for each of two classes
    0.25
    """
    if logits.shape != teacher_logits.shape:
        raise ValueError(f"Expected logits for the same inputs, but got {tuple(logits.shape)} and {tuple(teacher_logits.shape)}.")
    targets, confident = _constants(teacher_logits, threshold)
    differences = (torch.softmax(logits, dim=1) - targets).square().mean(dim=1)
    return (differences * confident).mean()


def _cross_entropy_of_confident(logits: Tensor, labelling: Tensor, threshold: float) -> Tensor:
    """Mean cross-entropy against the classes that are most probable by the logits `labelling`; doubtful samples count as 0."""
    probabilities, confident = _constants(labelling, threshold)
    errors = F.cross_entropy(logits, probabilities.argmax(dim=1), reduction="none")
    return (errors * confident).mean()


def _constants(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Probabilities without a gradient, and whether the largest of each sample reaches the threshold."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1], but is {threshold}.")
    if logits.ndim != 2:
        raise ValueError(f"Expected logits of shape (N, K), but got {tuple(logits.shape)}.")
    probabilities = torch.softmax(logits.detach(), dim=1)
    return probabilities, probabilities.amax(dim=1) >= threshold
