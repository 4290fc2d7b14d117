"""Fine-tuning with batch spectral shrinkage (BSS)."""

from typing import Any

from torch import Tensor

from acclimate.errors import ConfigError
from acclimate.losses.spectral import spectral_shrinkage
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative
from acclimate.types import LabelledPass, Needs


class Bss(Method):
    """Cross-entropy on the source and batch spectral shrinkage, which suppresses the directions of least variation.

    Chen et al., "Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage for Safe Transfer Learning",
    NeurIPS 2019.

    Args:
        classifier: The model to train.
        shrinkage_weight: Weight of the penalty, at least 0.
        num_values: Number of penalised singular values, at least 1.
        **common: Arguments of `Method`.

    Raises:
        ConfigError: If there are fewer features than `num_values`.
    """

    needs = Needs(target=False, trained_features=False)

    def __init__(self, classifier: Classifier, *, shrinkage_weight: NonNegative = 0.001, num_values: Count = 1, **common: Any) -> None:
        super().__init__(classifier, **common)
        if num_values > classifier.num_features:
            raise ConfigError(f"method.num_values must be from 1 to the {classifier.num_features} features, but is {num_values}.")
        self.shrinkage_weight = shrinkage_weight
        self.num_values = num_values
        self.needs = self.needs._replace(batch_size=num_values)

    def source_losses(self, source: LabelledPass) -> dict[str, Tensor]:
        return {
            "spectral": self.shrinkage_weight * spectral_shrinkage(source.features, num_values=self.num_values),
        }
