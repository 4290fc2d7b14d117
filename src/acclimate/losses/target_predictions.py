"""Losses on the predictions for unlabelled target inputs."""

import math

import torch
from torch import Tensor

from acclimate.losses.precision import in_float32
from acclimate.ranges import Positive


@in_float32
def entropy(log_probabilities: Tensor) -> Tensor:
    """Shannon entropy in nats along the last dimension, finite even where a probability underflows to zero.

    >>> float(entropy(torch.log(torch.tensor([0.5, 0.5])))).__round__(4)
    0.6931
    """
    finite = log_probabilities.clamp_min(torch.finfo(log_probabilities.dtype).min)
    return -(finite.exp() * finite).sum(dim=-1)


@in_float32
def minimum_class_confusion(logits: Tensor, *, temperature: Positive = 2.5) -> Tensor:
    """Pairwise confusion between the predicted classes of a batch (MCC).

    Jin et al., "Minimum Class Confusion for Versatile Domain Adaptation", ECCV 2020, Eq. 2 to 6: probabilities are
    softened by the temperature, samples are weighted by their certainty 1 + exp(-entropy), and the rows of the class
    correlation matrix are normalised. The off-diagonal mass is the confusion. As in the paper, the weights are constants
    for the gradient. Rows of classes without any mass contribute nothing.

    Args:
        logits: Target logits, shape (N, K), N at least 1, K at least 2. Computed in float32 at least.
        temperature: Above 0; the paper recommends 2.5.

    Returns:
        A scalar in [0, 1]: 0 if every prediction is certain, (K - 1) / K for uniform predictions.

    Raises:
        ValueError: If the temperature is not positive or the logits are not a matrix.

    >>> float(minimum_class_confusion(torch.zeros(8, 4)))
    0.75
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, but is {temperature}.")
    if logits.ndim != 2:
        raise ValueError(f"Expected logits of shape (N, K), but got {tuple(logits.shape)}.")
    log_probabilities = torch.log_softmax(logits / temperature, dim=1)
    probabilities = log_probabilities.exp()
    certainty = 1.0 + torch.exp(-entropy(log_probabilities))
    weights = (len(logits) * certainty / certainty.sum()).detach()
    correlation = (weights[:, None] * probabilities).T @ probabilities
    confusion = correlation / correlation.sum(dim=1, keepdim=True).clamp_min(torch.finfo(logits.dtype).tiny)
    # The gradient of a trace would synchronise with the GPU.
    return (confusion.sum() - confusion.diagonal().sum()) / logits.shape[1]


@in_float32
def entropy_minimisation(logits: Tensor) -> Tensor:
    """Mean entropy of the predictions, in nats.

    Grandvalet and Bengio, "Semi-Supervised Learning by Entropy Minimization", NeurIPS 2004, Eq. 6. Predicting one class
    for all samples also minimises it; `information_maximisation` prevents that.

    Args:
        logits: Target logits, shape (N, K), N at least 1. Computed in float32 at least.

    Returns:
        A scalar in [0, log K].

    >>> float(entropy_minimisation(torch.zeros(3, 2))).__round__(4)
    0.6931
    """
    return entropy(torch.log_softmax(logits, dim=1)).mean()


@in_float32
def batch_nuclear_norm(logits: Tensor) -> Tensor:
    """Negative nuclear norm of the predictions of a batch, divided by the number of samples (BNM).

    Cui et al., "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under Label Insufficient
    Situations", CVPR 2020, Eq. 9. The sum of the singular values of the probability matrix is large if predictions are
    certain and use many classes. The published script for closed sets divides by min(N, K) instead, which makes the loss
    N / min(N, K) times as large; the script for open sets divides by N.

    Args:
        logits: Target logits, shape (N, K), N at least 1. Computed in float32 at least.

    Returns:
        A scalar in [-sqrt(min(N, K) / N), 0): the lower end if all predictions are certain and use all classes equally often.

    Raises:
        ValueError: If the logits are not a matrix.

    >>> float(batch_nuclear_norm(torch.zeros(4, 4))).__round__(4)
    -0.25
    """
    if logits.ndim != 2:
        raise ValueError(f"Expected logits of shape (N, K), but got {tuple(logits.shape)}.")
    probabilities = torch.softmax(logits, dim=1)
    norm: Tensor = torch.linalg.matrix_norm(probabilities, ord="nuc")
    return -norm / len(logits)


@in_float32
def information(logits: Tensor) -> Tensor:
    """Mutual information between the samples of a batch and their predicted classes, in nats.

    Entropy of the mean prediction minus mean entropy of the predictions (Krause et al., "Discriminative Clustering by
    Regularized Information Maximization", NeurIPS 2010, Eq. 5). High if predictions are certain and use all classes.

    Args:
        logits: Shape (N, K), N at least 1.

    Returns:
        A scalar in [0, log K].
    """
    log_probabilities = torch.log_softmax(logits, dim=1)
    mean_log_probability = torch.logsumexp(log_probabilities, dim=0) - math.log(len(logits))
    return entropy(mean_log_probability) - entropy(log_probabilities).mean()


@in_float32
def information_maximisation(logits: Tensor) -> Tensor:
    """Negative of `information`: a loss in [-log K, 0] that favours certain and diverse predictions.

    The target loss of Liang et al., "Do We Really Need to Access the Source Data?", ICML 2020, Eq. 3.
    """
    return -information(logits)
