"""What an option of any method may do, and all options of one method together."""

from collections.abc import Mapping
from typing import NamedTuple, cast

from torch import Tensor, nn

from acclimate.models.classifier import Classifier
from acclimate.types import DomainBatch, LabelledPass, Needs, TrainingInputs, UnlabelledPass


class Step(NamedTuple):
    """A training step after its pass.

    Attributes:
        source: Predictions for the source as the extras have changed it.
        target: Predictions for the target.
        classifier: In training mode.
        progress: Of the training, in [0, 1].
    """

    source: LabelledPass
    target: UnlabelledPass
    classifier: Classifier
    progress: float


class Extra(nn.Module):
    """An option that any method takes: it changes training batches, adds losses, or both.

    A subclass overrides the hooks that it needs. Checkpoints hold its parameters and buffers.
    """

    def extend(self, needs: Needs) -> Needs:
        """Return what a method needs once it has this option.

        Raises:
            ConfigError: If the method lacks what the option works on.
        """
        return needs

    def attach(self, classifier: Classifier) -> None:
        """Make what depends on the classifier as it is before training."""

    def prepare(self, data: TrainingInputs) -> None:
        """Take what depends on all training inputs, when the training starts."""

    def change(self, batch: DomainBatch, progress: float) -> DomainBatch:
        """Return a training batch as the method is to see it."""
        return batch

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Return further losses by name, weighted; called if the method looks at the target."""
        return {}

    def statistics(self) -> dict[str, Tensor]:
        """Return values to log by name."""
        return {}


class Extras(Extra):
    """Several extras, one after the other.

    Args:
        extras: By name, in the order in which they change a batch.
    """

    def __init__(self, extras: Mapping[str, Extra]) -> None:
        super().__init__()
        for name, extra in extras.items():
            self.add_module(name, extra)

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Extra:
        return cast(Extra, self._modules[name])

    def all(self) -> list[Extra]:
        return [self[name] for name in self._modules]

    def extend(self, needs: Needs) -> Needs:
        for extra in self.all():
            needs = extra.extend(needs)
        return needs

    def attach(self, classifier: Classifier) -> None:
        for extra in self.all():
            extra.attach(classifier)

    def prepare(self, data: TrainingInputs) -> None:
        for extra in self.all():
            extra.prepare(data)

    def change(self, batch: DomainBatch, progress: float) -> DomainBatch:
        for extra in self.all():
            batch = extra.change(batch, progress)
        return batch

    def losses(self, step: Step) -> dict[str, Tensor]:
        return {name: loss for extra in self.all() for name, loss in extra.losses(step).items()}

    def statistics(self) -> dict[str, Tensor]:
        return {name: value for extra in self.all() for name, value in extra.statistics().items()}
