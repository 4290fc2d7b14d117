"""Adaptive batch normalisation (AdaBN)."""

from typing import Any

import torch

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.models.batch_norm import adaptable_batch_norms
from acclimate.models.classifier import Classifier
from acclimate.types import DomainBatch, Needs


class AdaBn(Method):
    """All weights of a trained classifier stay; batch norm gets the statistics of the target in place of the source's.

    Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2016. Each layer gets the mean over all
    batches so far of their means and of their unbiased variances: after one epoch every input has counted once, and more
    epochs change little. A step of this method is a batch that is looked at. There is no gradient and no optimizer, so
    the settings of both do not matter.

    Args:
        classifier: A trained one with batch norm.
        **common: What `Method` takes; no terms, which nothing would minimise.

    Raises:
        ConfigError: If there is no batch norm whose statistics may change, or there are terms.
    """

    needs = Needs(source="none", trained_features=False, target_labels=False)

    def __init__(self, classifier: Classifier, **common: Any) -> None:
        super().__init__(classifier, **common)
        if "terms" in self.extras:
            raise ConfigError("method.terms are losses, and this method minimises none: it takes statistics alone. Use method=tent.")
        layers = [] if self.batch_norm == "frozen" else adaptable_batch_norms(classifier)
        if not layers:
            raise ConfigError(
                "This method changes the statistics of batch norm, but the model has no batch norm that is not frozen. Use method=shot."
            )
        for layer in layers:
            # None is the mean over all batches; the number of batches is a buffer, so that a resumed run counts on.
            layer.momentum = None
        self.layers = layers
        classifier.requires_grad_(False)

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.batches_done == 0:
            self.start_over()

    def start_over(self) -> None:
        """Forgets the statistics of the source."""
        for layer in self.layers:
            layer.reset_running_stats()

    def training_step(self, batch: DomainBatch, batch_idx: int) -> None:  # type: ignore[override]
        with torch.no_grad():
            self.passes(batch)
        self.batches_done += 1

    def configure_optimizers(self) -> None:
        return None
