"""How frequent the classes are in the unlabelled target, and source batches in the same proportions."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.extras.extra import Extra, Step
from acclimate.losses.precision import in_float32
from acclimate.types import DomainBatch, Labelled, Needs


@in_float32
def target_class_weights(
    confusion: Tensor, source_proportions: Tensor, target_prediction: Tensor, *, ridge: float = 1e-3, least: float = 0.0
) -> Tensor:
    """How many times as frequent each class is in the target as in the source.

    Black-box shift estimation, Lipton et al., "Detecting and Correcting for Label Shift with Black Box Predictors", ICML
    2018: if images of a class look alike in both domains, then C w = μ, with the joint confusion C[i, j] = P(predicted i,
    true j) of the source and the target's predictions μ[i] = P(predicted i). C may be near singular, so that w is solved
    for by least squares with a penalty on w - 1, as in Azizzadenesheli et al., "Regularized Learning for Domain Adaptation
    under Label Shifts", ICLR 2019; here with squared norms, which make it a ridge regression. Where nothing is known, w is 1.
    The published code of Lipton et al. has a penalty on w itself, which moves all weights towards 0.

    Args:
        confusion: P(predicted i | true j), shape (K, K); the column of a class that was never seen is 0.
        source_proportions: P(true j), shape (K,), with the sum 1.
        target_prediction: μ, shape (K,), with the sum 1.
        ridge: The penalty, above 0, in units of the squared mean proportion, 1 / K².
        least: What smaller weights are set to, at least 0 and below 1.

    Returns:
        w, shape (K,), not negative, with the sum 1 when weighted with the source's proportions. Computed in float32 at least.

    Raises:
        ValueError: If the shapes do not fit or a number is out of its range.

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
    # Positive definite, so that a check for singularity, which would wait for the GPU, is not needed.
    change, _ = torch.linalg.solve_ex(joint.T @ joint + penalty, joint.T @ unexplained)
    weights: Tensor = (1 + change).clamp_min(least)
    return weights / (source_proportions * weights).sum()


def systematic_resample(labels: Tensor, class_weights: Tensor, offset: Tensor) -> Tensor:
    """Rows of a batch, each expected to be drawn in proportion to the weight of its class.

    Systematic resampling within classes (Douc et al., "Comparison of Resampling Schemes for Particle Filtering", ISPA
    2005) instead of independent draws: each class gets its share of the rows rounded up or down, rows of one class are
    drawn equally often or once more, and under equal weights the batch stays as it is.

    Args:
        labels: int64 in [0, K), shape (N,), N at least 1.
        class_weights: Not negative and not 0 for all labels, shape (K,).
        offset: The only thing that is random, a scalar uniform in [0, 1).

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
    """Running estimates of what `target_class_weights` needs, from training batches; no label of the target is read.

    Exponential moving averages with one rate for all, so that what changes while the classifier learns changes alike in
    the confusion and in the target's prediction. Sums are averaged, and divided when they are used: thus the confusion
    given a class is the same whether batches were resampled or not. A prediction is the most likely class, as in the
    paper: probabilities, which are less certain on a shifted target, would look like further classes there.

    Args:
        num_classes: K.
        start: From which progress on batches are resampled; before, predictions say too little. Later, what aligns the
            features has already mixed classes that are not equally frequent.
        momentum: What the averages keep of themselves with each batch, in [0, 1).
        least: The smallest weight, see `target_class_weights`. Of a class that is not drawn at all nothing is learned
            any more, so that an estimate of 0 could never be put right.
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
        """What each class of the source is to be weighted with, shape (K,); 1 for all as long as nothing is known."""
        return target_class_weights(
            _normalised(self.source_predictions), _normalised(self.source_labels), _normalised(self.target_predictions), least=self.least
        )

    def extend(self, needs: Needs) -> Needs:
        key = "method.target_class_weights=estimated"
        if not needs.target:
            raise ConfigError(f"{key} needs the target, which this method does not look at. Use method=dann.")
        if needs.source == "none":
            raise ConfigError(f"{key} weights the source, which this method does not have. Use method=dann.")
        if needs.is_self_supervised:
            raise ConfigError(f"{key} looks at predictions, and this method trains no head that makes them. Use method=dann.")
        return needs

    def change(self, batch: DomainBatch, progress: float) -> DomainBatch:
        return batch._replace(source=self.resample(batch.source, progress=progress))

    def losses(self, step: Step) -> dict[str, Tensor]:
        labels = step.source.labels
        # Smoothed labels are rows whose largest entry is the class.
        self.update(step.source.logits, labels.argmax(dim=1) if labels.is_floating_point() else labels, step.target.logits)
        return {}

    def statistics(self) -> dict[str, Tensor]:
        weights = self.weights()
        return {"label_shift/max_weight": weights.max(), "label_shift/min_weight": weights.min()}

    @torch.no_grad()
    def resample(self, source: Labelled, *, progress: float) -> Labelled:
        """A batch whose classes are as frequent as they seem to be in the target, or the batch itself until the start.

        Args:
            source: A batch as it is drawn from the source, whose class proportions are noted.
            progress: In [0, 1].
        """
        self._average(self.source_labels, F.one_hot(source.labels, len(self.source_labels)).sum(dim=0))
        if progress < self.start:
            return source
        rows = systematic_resample(source.labels, self.weights(), torch.rand((), device=source.labels.device))
        return Labelled(source.inputs[rows], source.labels[rows])

    @torch.no_grad()
    def update(self, source_logits: Tensor, labels: Tensor, target_logits: Tensor) -> None:
        """Takes the predictions of a training batch, resampled or not.

        Args:
            source_logits: Shape (N, K).
            labels: Of the source, shape (N,).
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
    """Columns with the sum 1, or 0 where there is nothing."""
    return sums / sums.sum(dim=0).clamp_min(torch.finfo(sums.dtype).tiny)
