"""Soft labels: Mixup, CutMix, label smoothing and class weights."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from acclimate.errors import ConfigError
from acclimate.extras.extra import Extra
from acclimate.types import DomainBatch, Labelled, Needs, TrainingInputs


class SoftLabels(Extra):
    """Replacement of class indices by rows of K class probabilities, which `F.cross_entropy` accepts as well.

    Mixup, Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, and CutMix, Yun et al., "CutMix:
    Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019, combine each input with the
    previous one in the batch; if both are enabled, each batch uses one of them at random. Label smoothing is that of Szegedy
    et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016. Class weights multiply the probabilities
    and are divided by the mean weight of the batch, so that without Mixup and CutMix the mean loss equals torch's
    `cross_entropy(weight=..., label_smoothing=...)`: only the proportions of the weights matter.

    Args:
        num_classes: K, the number of classes.
        mixup: α of the Beta distribution of Mixup, at least 0; 0 disables Mixup.
        cutmix: α of the Beta distribution of CutMix, at least 0; 0 disables CutMix.
        smoothing: ε, the share of a label that is spread over all classes, in [0, 1).
        class_weights: Weight of each class, at least 0; `balanced` gives all classes equal weight, see `balance`.

    Raises:
        ConfigError: If the number of weights is not the number of classes, or all weights are 0.
    """

    weights: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        smoothing: float = 0.0,
        class_weights: Literal["none", "balanced"] | Sequence[float] = "none",
    ) -> None:
        super().__init__()
        given = [1.0] * num_classes if isinstance(class_weights, str) else [float(weight) for weight in class_weights]
        if len(given) != num_classes or min(given) < 0 or max(given) == 0:
            raise ConfigError(
                f"method.class_weights={given} must be {num_classes} numbers, one for each class in order, at least 0 and not all 0; "
                "or balanced, or none."
            )
        mixes: list[Any] = [
            mix(alpha=float(alpha), num_classes=num_classes) for mix, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix)) if alpha
        ]
        self.pastes_regions = cutmix > 0
        self.mix = v2.RandomChoice(mixes) if mixes else None
        self.num_classes = num_classes
        self.smoothing = smoothing
        self.has_weights = class_weights != "none"
        self.is_balanced = class_weights == "balanced"
        # Not persistent: computed again from the configuration and the data.
        self.register_buffer("weights", torch.tensor(given), persistent=False)

    @property
    def changes_labels(self) -> bool:
        """True if an option is set."""
        return self.mix is not None or self.smoothing > 0 or self.has_weights

    def extend(self, needs: Needs) -> Needs:
        if needs.source != "labelled":
            raise ConfigError(
                "method.mixup, cutmix, label_smoothing and class_weights apply to labelled source inputs, but this method uses none. "
                "Set them in the run that it starts from."
            )
        if self.mix is None or needs.inputs == "images":
            return needs
        # Precomputed features cannot be mixed instead of inputs, and only images have regions to paste.
        return needs._replace(inputs="images" if self.pastes_regions else "mixable")

    def prepare(self, data: TrainingInputs) -> None:
        if self.is_balanced:
            self.balance(data.source_labels().to(self.weights.device))

    def change(self, batch: DomainBatch, progress: float) -> DomainBatch:
        return batch._replace(source=self(batch.source))

    def balance(self, labels: Tensor) -> None:
        """Set weights that give all classes equal weight, with a mean of 1 over the inputs; a class without inputs gets 1.

        Args:
            labels: Labels of all inputs, int64, shape (N,).
        """
        counts = labels.bincount(minlength=self.num_classes)
        # Label smoothing uses the weights of all classes.
        self.weights.copy_(torch.where(counts > 0, len(labels) / (counts.count_nonzero() * counts), 1.0))

    def forward(self, batch: Labelled) -> Labelled:
        """Return the batch with mixed inputs and soft labels, shape (N, K); unchanged if no option is set.

        Args:
            batch: A batch with class indices as labels.
        """
        if not self.changes_labels:
            return batch
        inputs, rows = batch.inputs, F.one_hot(batch.labels, self.num_classes).float()
        if self.mix is not None:
            assert isinstance(inputs, Tensor)
            # Torchvision's Mixup accepts only images, although it would work for any numbers.
            shaped = inputs if self.pastes_regions else inputs.reshape(len(inputs), -1, 1, 1)
            mixed, rows = self.mix(shaped if shaped.is_floating_point() else shaped.float(), batch.labels)
            mixed = mixed.view_as(inputs)
            # Keep the dtype, because the inputs may be concatenated with those of the target.
            inputs = mixed if inputs.is_floating_point() else mixed.round().to(inputs.dtype)
        # If all classes of a batch have zero weight, the loss is 0, while torch's would be NaN.
        mean_weight = (rows * self.weights).sum(dim=1).mean().clamp_min(torch.finfo(rows.dtype).tiny)
        smooth = (1 - self.smoothing) * rows + self.smoothing / self.num_classes
        return batch._replace(inputs=inputs, labels=smooth * self.weights / mean_weight)
