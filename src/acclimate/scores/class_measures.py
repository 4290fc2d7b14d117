"""Measures of each class, from a confusion matrix."""

from typing import NamedTuple

from torch import Tensor


class ClassMeasures(NamedTuple):
    """Measures of K classes, each of shape (K,).

    Attributes:
        support: Number of inputs of each class, int64.
        precision: Share of the inputs predicted as the class that belong to it; NaN if there are none.
        recall: Share of the inputs of the class that are predicted as it, that is, their accuracy; NaN if there are none.
        f1: Harmonic mean of both; NaN if the class neither occurs nor is predicted.
    """

    support: Tensor
    precision: Tensor
    recall: Tensor
    f1: Tensor

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur."""
        return self.recall[self.support > 0].mean().item()


def class_measures(confusion: Tensor) -> ClassMeasures:
    """Return the measures of each class.

    Args:
        confusion: Counts of shape (K, K), true classes in rows.

    >>> import torch
    >>> found = class_measures(torch.tensor([[3, 1], [0, 4]]))
    >>> found.recall.tolist(), found.precision.tolist(), found.balanced_accuracy
    ([0.75, 1.0], [1.0, 0.8], 0.875)
    """
    correct, support, predicted = confusion.diagonal().double(), confusion.sum(dim=1), confusion.sum(dim=0)
    return ClassMeasures(support, correct / predicted, correct / support, 2 * correct / (support + predicted))
