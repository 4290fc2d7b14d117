"""The base class of scores that select checkpoints: one number per validation, higher is better."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from acclimate.types import Domain, Prediction


class TargetScore(Metric, ABC):
    """Score of a classifier on validation inputs. Higher is always better; NaN if a prediction is not finite.

    A score is a function of the predictions in the order of the data set. Rounding errors in the predictions hardly change
    it, and it does not depend on the batch size.

    Attributes:
        name: Name in reports.
        domains: Domains that the score uses.
        needs_source: True if the score needs source inputs.
        needs_target: True if the score needs target inputs.
        needs_head: True if the score uses logits, not only features.
        is_oracle: True if the score is given the labels of the target.
    """

    name: str
    domains: tuple[Domain, ...] = ("target",)
    needs_source: bool = False
    needs_target: bool = True
    needs_head: bool = True
    is_oracle: bool = False
    higher_is_better = True
    full_state_update = False
    finite: Tensor

    def __init__(self) -> None:
        # In a training on several devices, each process evaluates all inputs.
        super().__init__(sync_on_compute=False)
        self.add_state("finite", torch.tensor(True), dist_reduce_fx="min")

    def update(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        """Add the next batch of the data set.

        Args:
            domain: Domain of the inputs.
            prediction: Predictions of the classifier.
            labels: int64, shape (N,); None for the target, unless the score is an oracle.
        """
        if domain in self.domains:
            # The sum is finite if all features are, and takes a fifth of the time of looking at each.
            self.finite = self.finite & prediction.features.sum(dtype=torch.float64).isfinite()
            if self.needs_head:
                # Only the largest logit of each row, because an impossible class may have a logit of -inf.
                self.finite = self.finite & prediction.logits.amax(dim=1).isfinite().all()
            self.add_batch(domain, prediction, labels)

    def compute(self) -> Tensor:
        """Return the score of all batches, a scalar."""
        return self.value() if self.finite else torch.tensor(torch.nan, device=self.finite.device)

    @abstractmethod
    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        """Add a batch of one of `domains`; the arguments are those of `update`."""

    @abstractmethod
    def value(self) -> Tensor:
        """Return the score of all batches; called only if all their predictions are finite."""

    def memory(self) -> dict[str, Any]:
        """Return the state that the score keeps between validations, in plain tensors and containers, for checkpoints."""
        return {}

    def recall(self, memory: dict[str, Any]) -> None:
        """Restore the state returned by `memory`."""
