"""LEEP: transferability from a pretrained model's predictions for its own classes."""

import torch
from torch import Tensor
from torch.nn import functional as F


def log_expected_empirical_prediction(probabilities: Tensor, labels: Tensor) -> Tensor:
    """LEEP: mean log-likelihood of labels drawn by way of a pretrained class from the model's prediction.

    Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations", ICML 2020. The label is
    drawn from p(label | pretrained class), estimated from the same inputs.

    Args:
        probabilities: Probabilities of S pretrained classes, shape (N, S), N at least 1.
        labels: int64, shape (N,).

    Returns:
        A scalar, float64, at most 0; higher is better. The order of the pretrained classes does not matter.

    >>> round(log_expected_empirical_prediction(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])).exp().item(), 4)
    0.5
    """
    predicted = probabilities.double()
    joint = F.one_hot(labels).to(predicted).T @ predicted
    given = joint / joint.sum(dim=0).clamp_min(torch.finfo(joint.dtype).tiny)
    return (predicted * given[labels]).sum(dim=1).log().mean()
