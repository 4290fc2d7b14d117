"""What selects a checkpoint: one number per validation, higher is better."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from acclimate.types import Domain, Prediction


class TargetScore(Metric, ABC):
    """A score of a classifier on validation images. A higher value is always better; nan if a prediction is not finite.

    A score is a function of the predictions in the order of the data set. Perturbing them by rounding errors hardly moves
    it, and the batch size does not matter.

    Attributes:
        name: What reports call it.
        domains: Which domains it looks at.
        needs_source: Whether it needs source images.
        needs_target: Whether it needs target images.
        needs_head: Whether it looks at predictions, and not at features alone.
        is_oracle: Whether it is given the labels of the target.
    """

    name: str
    domains: ClassVar[tuple[Domain, ...]] = ("target",)
    needs_source: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    needs_head: ClassVar[bool] = True
    is_oracle: ClassVar[bool] = False
    higher_is_better = True
    full_state_update = False
    finite: Tensor

    def __init__(self) -> None:
        # Each process of a training on several devices evaluates all images.
        super().__init__(sync_on_compute=False)
        self.add_state("finite", torch.tensor(True), dist_reduce_fx="min")

    def update(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        """Add the next batch of the data set.

        Args:
            domain: Where the images are from.
            prediction: What the classifier says of them.
            labels: int64, shape (N,); None for the target, unless the score is the oracle.
        """
        if domain in self.domains:
            self.finite = self.finite & prediction.features.isfinite().all()
            if self.needs_head:
                # The largest of each row, because an impossible class may have a logit of -inf.
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
        """What it keeps of earlier validations, in plain tensors and containers; checkpoints hold it."""
        return {}

    def recall(self, memory: dict[str, Any]) -> None:
        """Takes back what `memory` gave."""
