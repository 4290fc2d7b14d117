"""Losses on the target's predictions only, such as MCC, BNM and FixMatch."""

from typing import Any

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.types import Needs


class TermsAlone(Method):
    """Cross-entropy on the source and the configured terms on the target, without an alignment of features.

    Args:
        classifier: The model to train.
        **common: Arguments of `Method`, with at least one of its `terms`.

    Raises:
        ConfigError: If there are no terms.
    """

    needs = Needs(trained_features=False)

    def __init__(self, classifier: Classifier, **common: Any) -> None:
        super().__init__(classifier, **common)
        if "terms" not in self.extras.by_name:
            raise ConfigError("This method consists of its terms, but method.terms is empty. Add one, for example +terms=mcc.")
