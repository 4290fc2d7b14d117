"""Fine-tuning with stochastic normalisation."""

from typing import Any

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.models.stoch_norm import replace_batch_norm
from acclimate.ranges import Share
from acclimate.types import Needs


class StochasticNormalisation(Method):
    """Cross-entropy on the source with stochastic normalisation, which reduces overfitting on few inputs.

    Kou et al., "Stochastic Normalization", NeurIPS 2020. `StochNorm` replaces the batch norm of the backbone. Outside of
    training the two are the same, so checkpoints are those of a plain classifier.

    Args:
        classifier: The model to train; changed in place.
        selection_rate: p, the probability that a channel is normalised by the batch statistics, in [0, 1].

    Raises:
        ConfigError: If the backbone has no batch norm or a frozen one.
    """

    needs = Needs(target=False, trained_features=False)

    def __init__(self, classifier: Classifier, *, selection_rate: Share = 0.5, **common: Any) -> None:
        replace_batch_norm(classifier.backbone, selection_rate=selection_rate)
        super().__init__(classifier, **common)
        if self.batch_norm == "frozen" or classifier.frozen:
            raise ConfigError(
                "This method chooses at random between batch and running statistics, but batch norm is frozen. "
                "Use method.batch_norm=joint and a backbone that trains, or method=fine_tune."
            )
