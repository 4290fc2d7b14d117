"""The base class of options of any method, and the combination of several."""

from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

from torch import Tensor, nn

from acclimate.models.classifier import Classifier
from acclimate.types import DomainBatch, LabelledPass, Needs, TrainingInputs, UnlabelledPass


class Step(NamedTuple):
    """A training step after its forward pass.

    Attributes:
        source: Predictions for the source, after the extras have changed the batch.
        target: Predictions for the target.
        classifier: The model, in training mode.
        progress: Progress of the training, in [0, 1].
    """

    source: LabelledPass
    target: UnlabelledPass
    classifier: Classifier
    progress: float


def combined(*parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Combine losses by name; one whose name is taken gets a number, because it must not replace the other.

    >>> import torch
    >>> combined({"entropy": torch.tensor(1.0)}, {"entropy": torch.tensor(2.0)})
    {'entropy': tensor(1.), 'entropy_2': tensor(2.)}
    """
    found: dict[str, Tensor] = {}
    for name, loss in (item for part in parts for item in part.items()):
        numbered = (f"{name}_{number}" for number in count(2))
        found[name if name not in found else next(other for other in numbered if other not in found)] = loss
    return found


class Extra(nn.Module):
    """Base class of options of any method, which change training batches, add losses, or both.

    A subclass overrides the hooks that it needs. Checkpoints contain its parameters and buffers.
    """

    def extend(self, needs: Needs) -> Needs:
        """Return the needs of a method together with this option.

        Raises:
            ConfigError: If the option does not fit the method.
        """
        return needs

    def attach(self, classifier: Classifier) -> None:
        """Set up state that depends on the classifier before training."""

    def prepare(self, data: TrainingInputs) -> None:
        """Set up state that depends on all training inputs, at the start of training."""

    def change(self, batch: DomainBatch, progress: float) -> DomainBatch:
        """Return the training batch for the method."""
        return batch

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Return additional losses by name, weighted; called if the method uses the target."""
        return {}

    def statistics(self) -> dict[str, Tensor]:
        """Return values to log by name."""
        return {}


class Extras(Extra):
    """Several extras applied in order.

    Args:
        extras: Extras by name, in the order in which they change a batch.

    Attributes:
        by_name: The same extras.
    """

    def __init__(self, extras: Mapping[str, Extra]) -> None:
        super().__init__()
        self.by_name = dict(extras)
        for name, extra in extras.items():
            self.add_module(name, extra)

    def extend(self, needs: Needs) -> Needs:
        for extra in self.by_name.values():
            needs = extra.extend(needs)
        return needs

    def attach(self, classifier: Classifier) -> None:
        for extra in self.by_name.values():
            extra.attach(classifier)

    def prepare(self, data: TrainingInputs) -> None:
        for extra in self.by_name.values():
            extra.prepare(data)

    def change(self, batch: DomainBatch, progress: float) -> DomainBatch:
        for extra in self.by_name.values():
            batch = extra.change(batch, progress)
        return batch

    def losses(self, step: Step) -> dict[str, Tensor]:
        return combined(*(extra.losses(step) for extra in self.by_name.values()))

    def statistics(self) -> dict[str, Tensor]:
        return {name: value for extra in self.by_name.values() for name, value in extra.statistics().items()}
