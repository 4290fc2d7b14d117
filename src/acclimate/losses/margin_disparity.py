"""Margin disparity between a classifier and an adversary that agrees with it on the source and not on the target."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.precision import in_float32


@in_float32
def log_other_probability(logits: Tensor, classes: Tensor) -> Tensor:
    """log(1 - p) of each sample, where p is the probability of the given class.

    Computed as the log-sigmoid of the other classes' log-sum-exp minus the class's logit, which stays finite where p
    rounds to 1 and log(1 - softmax) would be minus infinity.

    Args:
        logits: Shape (N, K), K at least 2. Computed in float32 at least.
        classes: Shape (N,), int64.

    Returns:
        Shape (N,), below 0.

    Raises:
        ValueError: If there are fewer than two classes, or the number of classes given is not the number of samples.

    >>> log_other_probability(torch.tensor([[200.0, 0.0]]), torch.tensor([0]))
    tensor([-200.])
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"Expected logits of shape (N, K) with K at least 2, but got {tuple(logits.shape)}.")
    if classes.shape != logits.shape[:1]:
        raise ValueError(f"Expected one class for each of {len(logits)} samples, but got shape {tuple(classes.shape)}.")
    index = classes[:, None]
    others = logits.scatter(1, index, -torch.inf).logsumexp(dim=1)
    return F.logsigmoid(others - logits.gather(1, index)[:, 0])


@in_float32
def margin_disparity(
    source_logits: Tensor,
    target_logits: Tensor,
    *,
    source_classes: Tensor,
    target_classes: Tensor,
    margin: float = 4.0,
) -> Tensor:
    """Loss of the adversarial classifier: the negative margin disparity discrepancy (MDD).

    Zhang et al., "Bridging Theory and Algorithm for Domain Adaptation", ICML 2019, section 5.2, with the combined
    cross-entropy: γ · cross-entropy on the source, plus -log(1 - p) of the predicted class on the target. It is low if the
    adversary agrees with the classifier on the source and disagrees on the target; the features are trained to raise it,
    by gradient reversal in front of the adversary.

    Args:
        source_logits: Logits of the adversary for the source, shape (N, K), K at least 2. Computed in float32 at least.
        target_logits: Logits of the adversary for the target, shape (M, K); M may differ from N.
        source_classes: Classes that the classifier predicts for the source, shape (N,), int64.
        target_classes: Classes that the classifier predicts for the target, shape (M,).
        margin: γ, above 0, the exponential of the margin.

    Returns:
        A scalar, at least 0, differentiable with respect to the adversary's logits.

    Raises:
        ValueError: If the margin is not positive, there are fewer than two classes, or the number of classes given is not
            the number of samples.

    >>> zeros, classes = torch.zeros(1, 2), torch.tensor([0])
    >>> float(margin_disparity(zeros, zeros, source_classes=classes, target_classes=classes)).__round__(4)
    3.4657
    """
    if margin <= 0:
        raise ValueError(f"margin must be above 0, but is {margin}.")
    agreement = F.cross_entropy(source_logits, source_classes)
    return margin * agreement - log_other_probability(target_logits, target_classes).mean()
