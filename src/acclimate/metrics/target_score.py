"""What selects a checkpoint: one number per validation, higher is better."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor
from torchmetrics import Metric

from acclimate.types import Domain, Prediction


class TargetScore(Metric, ABC):
    """A score of a classifier on validation images. A higher value is always better.

    Attributes:
        name: What reports call it.
        needs_source: Whether it needs source images.
        needs_target: Whether it needs target images.
        needs_head: Whether it looks at predictions, and not at features alone.
        is_oracle: Whether it is given the labels of the target.
    """

    name: str
    needs_source: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    needs_head: ClassVar[bool] = True
    is_oracle: ClassVar[bool] = False
    higher_is_better = True
    full_state_update = False

    def __init__(self) -> None:
        # Each process of a training on several devices evaluates all images.
        super().__init__(sync_on_compute=False)

    @abstractmethod
    def update(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        """Takes in a batch.

        Args:
            domain: Where the images are from.
            prediction: What the classifier says of them.
            labels: int64, shape (N,); None for the target, unless the score is the oracle.
        """

    def memory(self) -> dict[str, Any]:
        """What it keeps of earlier validations, in plain tensors and containers; checkpoints hold it."""
        return {}

    def recall(self, memory: dict[str, Any]) -> None:
        """Takes back what `memory` gave."""
