"""Losses on the target's predictions alone: MCC, BNM, FixMatch and so on."""

from typing import Any

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.models.classifier import Classifier
from acclimate.types import Needs


class TermsAlone(Method):
    """Cross-entropy on the source and, on the target, the terms that the configuration names; nothing aligns features.

    Args:
        classifier: What is trained.
        **common: What `Method` takes, with at least one of its `terms`.

    Raises:
        ConfigError: If there are no terms, since the method would then be source only.
    """

    needs = Needs(trained_features=False)

    def __init__(self, classifier: Classifier, **common: Any) -> None:
        super().__init__(classifier, **common)
        if "terms" not in self.extras:
            raise ConfigError("This method consists of its terms, but method.terms is empty. Add one, such as +terms=mcc.")
