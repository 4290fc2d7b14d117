"""Losses of a domain discriminator and of the features that it sees."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.precision import in_float32
from acclimate.losses.target_predictions import entropy


@in_float32
def domain_confusion(logits: Tensor, *, num_source: int, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of a domain discriminator, with equal weight for both domains.

    The domain loss of Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, Eq. 14 to 18: with
    gradient reversal in front of the discriminator, minimising it trains the discriminator and confuses it about the
    features. The mean is taken per domain and then over the two, so unequal batches do not favour either.

    Args:
        logits: Outputs of the discriminator, not probabilities, shape (N, 1) or (N,); positive means source.
        num_source: Number of source samples, which come first, from 1 to N - 1.
        weights: Weight of each sample within its domain, shape (N,), above 0; None: equal weights. Only their
            proportions matter, because they are normalised per domain.

    Returns:
        A scalar; log 2 ≈ 0.6931 for a discriminator at chance level.

    Raises:
        ValueError: If a domain has no row, or there is more than one logit per sample.

    >>> float(domain_confusion(torch.zeros(4, 1), num_source=1)).__round__(4)
    0.6931
    """
    if logits.ndim == 2 and logits.shape[1] == 1:
        logits = logits[:, 0]
    if logits.ndim != 1:
        raise ValueError(f"Expected one logit per sample, shape (N, 1) or (N,), but got {tuple(logits.shape)}.")
    if not 0 < num_source < len(logits):
        raise ValueError(f"num_source must be from 1 to {len(logits) - 1}, so that both domains have a row, but is {num_source}.")
    source, target = F.softplus(-logits[:num_source]), F.softplus(logits[num_source:])
    if weights is None:
        return 0.5 * (source.mean() + target.mean())
    source_weights, target_weights = weights[:num_source], weights[num_source:]
    return 0.5 * ((source_weights * source).sum() / source_weights.sum() + (target_weights * target).sum() / target_weights.sum())


@in_float32
def inverted_labels(logits: Tensor) -> Tensor:
    """Binary cross-entropy of target samples labelled as source: low where the discriminator is fooled.

    The generator's loss of Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, which Tzeng et al.,
    "Adversarial Discriminative Domain Adaptation", CVPR 2017, use for the features. Unlike the reversed loss of
    `domain_confusion`, its gradient is largest where the discriminator is right, so the features keep learning even if the
    discriminator wins early.

    Args:
        logits: Outputs of the discriminator for the target, not probabilities, shape (N, 1) or (N,), N at least 1;
            positive means source. Computed in float32 at least.

    Returns:
        A scalar, at least 0; log 2 ≈ 0.6931 for a discriminator at chance level.

    Raises:
        ValueError: If there is no row, or there is more than one logit per sample.

    >>> float(inverted_labels(torch.zeros(4, 1))).__round__(4)
    0.6931
    """
    if logits.numel() == 0 or logits.shape not in {(logits.numel(),), (logits.numel(), 1)}:
        raise ValueError(f"Expected one logit per sample, shape (N, 1) or (N,), N at least 1, but got {tuple(logits.shape)}.")
    return F.softplus(-logits).mean()


@in_float32
def certainty_weights(logits: Tensor) -> Tensor:
    """1 + exp(-entropy) of each prediction, so that confident samples count more.

    The entropy conditioning of Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018, Eq. 8 and 9.

    Args:
        logits: Class logits, shape (N, K). Computed in float32 at least.

    Returns:
        Shape (N,), from 1 + 1 / K for a uniform prediction to 2 for a confident one; differentiable.

    >>> certainty_weights(torch.zeros(1, 2))
    tensor([1.5000])
    """
    return 1.0 + torch.exp(-entropy(torch.log_softmax(logits, dim=1)))


@in_float32
def accuracy_by_domain(logits: Tensor, *, num_source: int) -> tuple[Tensor, Tensor]:
    """Shares of the source and of the target that a discriminator assigns to their own domain.

    Args:
        logits: Shape (N, 1) or (N,); positive means source.
        num_source: Number of source samples, which come first.

    >>> accuracy_by_domain(torch.tensor([1.0, 1.0, 1.0, -1.0]), num_source=2)
    (tensor(1.), tensor(0.5000))
    """
    says_source = (logits.detach().flatten() > 0).float()
    return says_source[:num_source].mean(), 1.0 - says_source[num_source:].mean()


@in_float32
def domain_accuracy(logits: Tensor, *, num_source: int) -> Tensor:
    """Accuracy of a discriminator, with equal weight for both domains; 0.5 is chance level.

    Args:
        logits: Shape (N, 1) or (N,); positive means source.
        num_source: Number of source samples, which come first.
    """
    of_source, of_target = accuracy_by_domain(logits, num_source=num_source)
    return 0.5 * (of_source + of_target)
