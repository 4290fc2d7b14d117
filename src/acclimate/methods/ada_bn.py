"""Adaptive batch normalisation (AdaBN)."""

from typing import Any

import torch

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.methods.core.optimisation import refuse_layer_rates
from acclimate.models.batch_norm import adaptable_batch_norms
from acclimate.models.classifier import Classifier
from acclimate.types import DomainBatch, Needs


class AdaBn(Method):
    """Adaptive batch normalisation: the statistics of the target replace those of the source in a trained classifier.

    Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2016. All weights stay fixed. Each layer's
    statistics are the averages over all batches so far of their means and of their unbiased variances: after one epoch
    every input has counted once, and further epochs change little. A step is one forward pass. There is no gradient and no
    optimizer, so the settings of the optimizer and its schedule have no effect.

    Args:
        classifier: A trained model with batch norm.
        **common: Arguments of `Method`, without terms, which nothing would minimise, and without learning rates of layers.

    Raises:
        ConfigError: If the model has no batch norm that is not frozen, or there are terms or such rates.
    """

    needs = Needs(source="none", trained_features=False, target_labels=False)

    def __init__(self, classifier: Classifier, **common: Any) -> None:
        refuse_layer_rates(common)
        super().__init__(classifier, **common)
        if "terms" in self.extras.by_name:
            raise ConfigError("method.terms are losses, but this method minimises none: it only collects statistics. Use method=tent.")
        layers = [] if self.batch_norm == "frozen" else adaptable_batch_norms(classifier)
        if not layers:
            raise ConfigError(
                "This method changes the statistics of batch norm, but the model has no batch norm that is not frozen. Use method=shot."
            )
        for layer in layers:
            # None: the mean over all batches. The number of batches is a buffer, so a resumed run continues the mean.
            layer.momentum = None
        self.layers = layers
        classifier.requires_grad_(False)

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.batches_done == 0:
            self.start_over()

    def start_over(self) -> None:
        """Discard the statistics of the source."""
        for layer in self.layers:
            layer.reset_running_stats()

    def training_step(self, batch: DomainBatch, batch_idx: int) -> None:  # type: ignore[override]
        with torch.no_grad():
            self.passes(batch)
        self.batches_done += 1

    def configure_optimizers(self) -> None:
        return None
