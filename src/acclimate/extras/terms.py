"""Terms: losses on the target's predictions that the configuration adds to any method."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.extras.extra import Extra, Step
from acclimate.models.batch_norm import fixed_statistics
from acclimate.models.classifier import Classifier
from acclimate.types import Needs

TargetTerm = Callable[..., Tensor]

# Parameters that a term may have, besides the logits of the target's first view.
OFFERED = ("strong_logits", "progress", "classifier", "inputs")


class StatefulTerm(nn.Module, ABC):
    """Base class of terms with state, such as a teacher; checkpoints contain their parameters and buffers."""

    @abstractmethod
    def start(self, classifier: Classifier) -> None:
        """Create the state from the classifier before training."""


class TargetTerms(Extra):
    """Weighted sum of terms.

    A term is called with the target's logits, shape (N, K), and with a value for each further parameter without a default:
    `strong_logits`, the logits of the second view; `progress`, in [0, 1]; `classifier`; `inputs`, the first view.

    Args:
        terms: Functions of the logits, or modules such as `StatefulTerm`, by name.
        weights: Weight of each term by its name; 1 if not given.

    Raises:
        ConfigError: If a weight belongs to no term, or a term has an unknown parameter.
    """

    def __init__(self, terms: Mapping[str, TargetTerm], weights: Mapping[str, float]) -> None:
        super().__init__()
        unknown = sorted(set(weights) - set(terms))
        if unknown:
            raise ConfigError(f"method.term_weights names {', '.join(unknown)}, but method.terms has {', '.join(terms) or 'none'}.")
        self.terms = dict(terms)
        self.weights = {name: weights.get(name, 1.0) for name in terms}
        self.asked = {name: _further_parameters(name, term) for name, term in terms.items()}
        self.stateful = nn.ModuleDict({name: term for name, term in terms.items() if isinstance(term, nn.Module)})

    def extend(self, needs: Needs) -> Needs:
        if not needs.target:
            raise ConfigError(f"method.terms ({', '.join(self.terms)}) need the target, which this method does not use. Use method=dann.")
        if needs.is_self_supervised:
            raise ConfigError("method.terms need predictions, but this method trains no head. Use method=dann.")
        return needs._replace(views="strong") if self.need_strong_view and needs.views == "one" else needs

    def attach(self, classifier: Classifier) -> None:
        """Create the state of stateful terms."""
        for term in self.stateful.values():
            if isinstance(term, StatefulTerm):
                term.start(classifier)

    @property
    def need_strong_view(self) -> bool:
        """True if a term compares two views of each target input."""
        return any("strong_logits" in names for names in self.asked.values())

    def losses(self, step: Step) -> dict[str, Tensor]:
        offered = {"progress": step.progress, "classifier": step.classifier, "inputs": step.target.inputs}
        if self.need_strong_view:
            # Evaluation uses inputs without augmentation, so the strong views must not update the running statistics.
            with fixed_statistics(step.classifier):
                offered["strong_logits"] = step.classifier(step.target.views[1]).logits
        return self.weighted(step.target.logits, offered)

    def weighted(self, logits: Tensor, offered: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the weighted terms by name.

        Args:
            logits: Logits of the target's first view, shape (N, K).
            offered: Values of the parameters in `OFFERED`.
        """
        found = {}
        for name, term in self.terms.items():
            try:
                found[name] = self.weights[name] * term(logits, **{key: offered[key] for key in self.asked[name]})
            except ValueError as error:
                raise ConfigError(f"The term {name} failed: {error}. Change method.terms.{name}.") from error
        return found


def _further_parameters(name: str, term: TargetTerm) -> list[str]:
    """Return the parameters without a default that follow the logits."""
    signature = inspect.signature(term.forward if isinstance(term, nn.Module) else term)
    required = [p.name for p in signature.parameters.values() if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [parameter for parameter in required[1:] if parameter not in OFFERED]
    if unknown:
        raise ConfigError(
            f"The term {name} has the parameter {', '.join(unknown)}, but besides the logits it can only have {', '.join(OFFERED)}. "
            f"Set method.terms.{name}.{unknown[0]}=VALUE, or give the parameter a default."
        )
    return required[1:]
