"""Estimation of the target's class proportions, and source batches resampled to match them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.extras.extra import Extra, Step
from acclimate.inputs import take
from acclimate.losses.precision import in_float32
from acclimate.types import DomainBatch, Labelled, Needs


@in_float32
def target_class_weights(
    confusion: Tensor, source_proportions: Tensor, target_prediction: Tensor, *, ridge: float = 1e-3, least: float = 0.0
) -> Tensor:
    """Estimate the ratio of each class's frequency in the target to its frequency in the source.

    Black-box shift estimation, Lipton et al., "Detecting and Correcting for Label Shift with Black Box Predictors", ICML
    2018: if inputs of a class have the same distribution in both domains, then C w = μ, with the joint confusion
    C[i, j] = P(predicted i, true j) of the source and the target's predictions μ[i] = P(predicted i). C may be nearly
    singular, so w is found by least squares with a penalty on w - 1, as in Azizzadenesheli et al., "Regularized Learning
    for Domain Adaptation under Label Shifts", ICLR 2019, but with squared norms, which make it a ridge regression. Without
    any information, w is 1. The published code of Lipton et al. penalises w itself, which moves all weights towards 0.

    Args:
        confusion: P(predicted i | true j), shape (K, K); the column of a class without samples is 0.
        source_proportions: P(true j), shape (K,), with the sum 1.
        target_prediction: μ, shape (K,), with the sum 1.
        ridge: Strength of the penalty, above 0, in units of the squared mean proportion, 1 / K².
        least: Smallest weight, at least 0 and below 1.

    Returns:
        w, shape (K,), at least 0; its mean weighted by the source's proportions is 1. Computed in float32 at least.

    Raises:
        ValueError: If the shapes do not match or a number is out of its range.

    >>> confusion = torch.tensor([[0.9, 0.2], [0.1, 0.8]])
    >>> target_class_weights(confusion, torch.tensor([0.5, 0.5]), confusion @ torch.tensor([0.2, 0.8]), ridge=1e-6)
    tensor([0.4000, 1.6000])
    """
    num_classes = len(confusion)
    if confusion.shape != (num_classes, num_classes) or not source_proportions.shape == target_prediction.shape == (num_classes,):
        raise ValueError(
            "Expected shapes (K, K), (K,) and (K,), but got "
            f"{tuple(confusion.shape)}, {tuple(source_proportions.shape)} and {tuple(target_prediction.shape)}."
        )
    if ridge <= 0:
        raise ValueError(f"ridge must be above 0, but is {ridge}.")
    if not 0 <= least < 1:
        raise ValueError(f"least must be at least 0 and below 1, but is {least}.")
    joint = num_classes * confusion * source_proportions
    unexplained = num_classes * target_prediction - joint.sum(dim=1)
    penalty = ridge * torch.eye(num_classes, dtype=joint.dtype, device=joint.device)
    # The matrix is positive definite, so no check for singularity, which would synchronise with the GPU, is needed.
    change, _ = torch.linalg.solve_ex(joint.T @ joint + penalty, joint.T @ unexplained)
    weights: Tensor = (1 + change).clamp_min(least)
    return weights / (source_proportions * weights).sum()


def systematic_resample(labels: Tensor, class_weights: Tensor, offset: Tensor) -> Tensor:
    """Resample the rows of a batch in proportion to the weights of their classes.

    Systematic resampling within classes (Douc et al., "Comparison of Resampling Schemes for Particle Filtering", ISPA
    2005) instead of independent draws: each class gets its share of the rows, rounded up or down; the numbers of draws of
    two rows of one class differ by at most one; and equal weights leave the batch unchanged.

    Args:
        labels: int64 in [0, K), shape (N,), N at least 1.
        class_weights: Weights of the classes, at least 0 and not 0 for all labels, shape (K,).
        offset: Random number, uniform in [0, 1), a scalar.

    Returns:
        Indices in ascending order, int64, shape (N,).

    >>> systematic_resample(torch.tensor([0, 1, 0, 1]), torch.tensor([1.5, 0.5]), torch.tensor(0.5))
    tensor([0, 2, 2, 3])
    """
    order = labels.argsort(stable=True)
    ends = class_weights[labels[order]].cumsum(dim=0)
    points = (torch.arange(len(labels), device=labels.device) + offset) * ends[-1] / len(labels)
    drawn = torch.searchsorted(ends, points, right=True).clamp_max(len(labels) - 1)
    return order[drawn].sort().values


class ClassProportions(Extra):
    """Resampling of source batches to the estimated class proportions of the target; target labels are not used.

    The inputs of `target_class_weights` are estimated from training batches by exponential moving averages with one rate,
    so that the confusion and the target's prediction follow the learning classifier at the same pace. Sums are averaged and
    normalised when they are used, so the confusion given a class does not depend on resampling. A prediction is the most
    likely class, as in the paper: probabilities are less certain on a shifted target and would look like other classes.

    Args:
        num_classes: K, the number of classes.
        start: Progress at which resampling starts. Earlier, predictions are not informative yet; much later, alignment has
            already mixed classes that are not equally frequent.
        momentum: Momentum of the moving averages, in [0, 1).
        least: Smallest weight, see `target_class_weights`. A class that is never drawn gives no further information, so an
            estimate of 0 could never be corrected.
    """

    source_labels: Tensor
    source_predictions: Tensor
    target_predictions: Tensor

    def __init__(self, num_classes: int, *, start: float = 0.1, momentum: float = 0.98, least: float = 0.05) -> None:
        super().__init__()
        self.start = start
        self.momentum = momentum
        self.least = least
        self.register_buffer("source_labels", torch.zeros(num_classes))
        self.register_buffer("source_predictions", torch.zeros(num_classes, num_classes))
        self.register_buffer("target_predictions", torch.zeros(num_classes))

    def weights(self) -> Tensor:
        """Weights of the source's classes, shape (K,); 1 for all before the first update."""
        return target_class_weights(
            _normalised(self.source_predictions), _normalised(self.source_labels), _normalised(self.target_predictions), least=self.least
        )

    def extend(self, needs: Needs) -> Needs:
        key = "method.target_class_weights=estimated"
        if not needs.target:
            raise ConfigError(f"{key} needs the target, which this method does not use. Use method=dann.")
        if needs.source == "none":
            raise ConfigError(f"{key} weights the source, which this method does not use. Use method=dann.")
        if needs.is_self_supervised:
            raise ConfigError(f"{key} needs predictions, but this method trains no head. Use method=dann.")
        return needs

    def change(self, batch: DomainBatch, progress: float) -> DomainBatch:
        return batch._replace(source=self.resample(batch.source, progress=progress))

    def losses(self, step: Step) -> dict[str, Tensor]:
        labels = step.source.labels
        # The largest entry of a smoothed label is the class.
        self.update(step.source.logits, labels.argmax(dim=1) if labels.is_floating_point() else labels, step.target.logits)
        return {}

    def statistics(self) -> dict[str, Tensor]:
        weights = self.weights()
        return {"label_shift/max_weight": weights.max(), "label_shift/min_weight": weights.min()}

    @torch.no_grad()
    def resample(self, source: Labelled, *, progress: float) -> Labelled:
        """Resample a batch to the target's estimated class proportions; before `start`, return it unchanged.

        Args:
            source: A batch drawn from the source; its class proportions update the estimates.
            progress: Progress of the training, in [0, 1].
        """
        self._average(self.source_labels, F.one_hot(source.labels, len(self.source_labels)).sum(dim=0))
        if progress < self.start:
            return source
        rows = systematic_resample(source.labels, self.weights(), torch.rand((), device=source.labels.device))
        domains = None if source.domains is None else source.domains[rows]
        return source._replace(inputs=take(source.inputs, rows), labels=source.labels[rows], domains=domains)

    @torch.no_grad()
    def update(self, source_logits: Tensor, labels: Tensor, target_logits: Tensor) -> None:
        """Update the estimates with the predictions of a training batch, resampled or not.

        Args:
            source_logits: Shape (N, K).
            labels: Labels of the source, shape (N,).
            target_logits: Shape (M, K).
        """
        classes, predicted, predicted_target = (
            F.one_hot(numbers, len(self.source_labels)).to(self.source_labels.dtype)
            for numbers in (labels, source_logits.argmax(dim=1), target_logits.argmax(dim=1))
        )
        with torch.autocast(labels.device.type, enabled=False):
            self._average(self.source_predictions, predicted.T @ classes)
        self._average(self.target_predictions, predicted_target.sum(dim=0))

    def _average(self, average: Tensor, value: Tensor) -> None:
        average.mul_(self.momentum).add_(value, alpha=1 - self.momentum)


def _normalised(sums: Tensor) -> Tensor:
    """Scale each column to the sum 1; columns of zeros stay zero."""
    return sums / sums.sum(dim=0).clamp_min(torch.finfo(sums.dtype).tiny)
