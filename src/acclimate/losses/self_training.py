"""Self-training losses: the model's own predictions for unlabelled target inputs serve as labels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.precision import in_float32
from acclimate.ranges import Share, ShareBelowOne


@in_float32
def fixmatch(logits: Tensor, strong_logits: Tensor, *, threshold: Share = 0.95) -> Tensor:
    """Cross-entropy between a strongly augmented view and the label predicted for a weakly augmented view (FixMatch).

    Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", NeurIPS 2020, as in the
    published code. Only samples whose label is predicted with a probability of at least `threshold` count, but the sum is
    divided by the number of all samples, so the loss grows as the model becomes confident. Labels are constants for the
    gradient.

    Args:
        logits: Logits of the weak view, shape (N, K), N at least 1. Computed in float32 at least.
        strong_logits: Logits of the strong view of the same inputs, shape (N, K).
        threshold: τ, in [0, 1]; 0.95 in the paper.

    Returns:
        A scalar, at least 0; 0 with zero gradient if no sample is confident.

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
    """Cross-entropy between predictions and their most probable class, with a weight that grows during training.

    Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks", ICML Workshop on
    Challenges in Representation Learning, 2013, Eq. 15 and 16. Wrong labels harm a model that has learnt little, so α is 0
    up to `start` and rises linearly to 1 at `end`; the paper's final α is the weight of the term. Labels are constants for
    the gradient.

    Args:
        logits: Target logits, shape (N, K), N at least 1. Computed in float32 at least.
        progress: Progress of the training, in [0, 1].
        start: Progress at which α begins to rise.
        end: Progress at which α reaches 1, above `start`.
        threshold: Smallest probability of a label that counts, in [0, 1]; 0 counts all labels, as in the paper. The sum is
            divided by the number of all samples, as in `fixmatch`.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: If start, end or the threshold are out of range, or the logits are not a matrix.

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
    mean over the classes and over all samples. Samples whose most probable class has a probability below the threshold in
    the teacher's prediction count as 0. The teacher's predictions are constants for the gradient.

    Args:
        logits: Logits of the student, shape (N, K), N at least 1. Computed in float32 at least.
        teacher_logits: Logits of the teacher for the same inputs, shape (N, K).
        threshold: Smallest confidence of the teacher that counts, in [0, 1]; 0 counts all samples, as in Tarvainen and
            Valpola (NeurIPS 2017).

    Returns:
        A scalar in [0, 2 / K]; 0 with zero gradient if the teacher is not confident about any sample.

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
    """Mean cross-entropy with the most probable classes of the logits `labelling`; samples below the threshold count as 0."""
    probabilities, confident = _constants(labelling, threshold)
    errors = F.cross_entropy(logits, probabilities.argmax(dim=1), reduction="none")
    return (errors * confident).mean()


def _constants(logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return probabilities without a gradient, and a mask of the samples whose largest one reaches the threshold."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1], but is {threshold}.")
    if logits.ndim != 2:
        raise ValueError(f"Expected logits of shape (N, K), but got {tuple(logits.shape)}.")
    probabilities = torch.softmax(logits.detach(), dim=1)
    return probabilities, probabilities.amax(dim=1) >= threshold
