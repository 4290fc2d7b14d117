"""Losses on the target's predictions that are added to any method by configuration."""

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

# What a term may ask for by the name of a parameter, besides the logits of the target's first view.
OFFERED = ("strong_logits", "progress", "classifier", "inputs")


class StatefulTerm(nn.Module, ABC):
    """A term that remembers something, such as a teacher; checkpoints hold its parameters and buffers."""

    @abstractmethod
    def start(self, classifier: Classifier) -> None:
        """Makes what it remembers, from the classifier as it is before training."""


class TargetTerms(Extra):
    """Terms by name, each multiplied with its weight.

    A term is called with the target's logits, shape (N, K), and with what its further parameters without a default name:
    `strong_logits`, those of the second view; `progress`, in [0, 1]; `classifier`; `inputs`, the first view.

    Args:
        terms: Functions of the logits, or modules such as `StatefulTerm`.
        weights: What each is multiplied with; 1 where it is not named.

    Raises:
        ConfigError: If a weight belongs to no term, or a term asks for what is not offered.
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
            raise ConfigError(
                f"method.terms ({', '.join(self.terms)}) need the target, which this method does not look at. Use method=dann."
            )
        if needs.is_self_supervised:
            raise ConfigError("method.terms looks at predictions, and this method trains no head that makes them. Use method=dann.")
        return needs._replace(views="strong") if self.need_strong_view and needs.views == "one" else needs

    def attach(self, classifier: Classifier) -> None:
        """Lets stateful terms make what they remember."""
        for term in self.stateful.values():
            if isinstance(term, StatefulTerm):
                term.start(classifier)

    @property
    def need_strong_view(self) -> bool:
        """Whether a term compares two views of each target image."""
        return any("strong_logits" in names for names in self.asked.values())

    def losses(self, step: Step) -> dict[str, Tensor]:
        offered = {"progress": step.progress, "classifier": step.classifier, "inputs": step.target.inputs}
        if self.need_strong_view:
            # Evaluation sees inputs as they are, so only they make the running statistics.
            with fixed_statistics(step.classifier):
                offered["strong_logits"] = step.classifier(step.target.views[1]).logits
        return self(step.target.logits, offered)  # type: ignore[no-any-return]

    def forward(self, logits: Tensor, offered: Mapping[str, Any]) -> dict[str, Tensor]:
        """The weighted terms by name.

        Args:
            logits: Of the target's first view, shape (N, K).
            offered: Values for the names of `OFFERED`.
        """
        found = {}
        for name, term in self.terms.items():
            try:
                found[name] = self.weights[name] * term(logits, **{key: offered[key] for key in self.asked[name]})
            except ValueError as error:
                raise ConfigError(f"The term {name} refuses what it is given: {error}. Change method.terms.{name}.") from error
        return found


def _further_parameters(name: str, term: TargetTerm) -> list[str]:
    """The parameters behind the first that have no default: what the term needs besides the logits."""
    signature = inspect.signature(term.forward if isinstance(term, nn.Module) else term)
    required = [p.name for p in signature.parameters.values() if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [parameter for parameter in required[1:] if parameter not in OFFERED]
    if unknown:
        raise ConfigError(
            f"The term {name} asks for {', '.join(unknown)}, but besides the logits there are {', '.join(OFFERED)}. "
            f"Set method.terms.{name}.{unknown[0]}=VALUE, or give the parameter a default."
        )
    return required[1:]
