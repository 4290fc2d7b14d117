"""A kind of input: what turns samples into the inputs of a model, in training and wherever the model is used."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from acclimate.data.samples import Samples
from acclimate.errors import ConfigError
from acclimate.inputs import Inputs, InputSpec


class View(ABC):
    """A way to see samples.

    Attributes:
        name: As in `data.source_view`.
        random: Whether it differs from time to time.
    """

    name: str
    random: bool

    @abstractmethod
    def look(self, loaded: Any, seeds: Sequence[int]) -> Inputs:
        """Return the view of each sample.

        Args:
            loaded: As `Samples.load` returns it.
            seeds: One for each sample, on which alone depends what is random; none for a view that is not random.
        """

    def code(self) -> list[Path]:
        """Return the files with the code that makes the view, by whose contents kept features are recognised."""
        return [Path(sys.modules[type(self).__module__].__file__ or "")]


class Kind(ABC):
    """A kind of input with the settings of a run, which is rebuilt from the run's checkpoint.

    Attributes:
        spec: What a model has to know.
    """

    spec: InputSpec

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return plain keywords from which the same object is made again."""

    def changed(self, **settings: Any) -> Self:
        """Return the same kind with other settings.

        Raises:
            ConfigError: If it has no such setting.
        """
        if unknown := settings.keys() - self.settings():
            raise ConfigError(f"{self.spec.noun.capitalize()} have no {', '.join(sorted(unknown))}. Leave it out.")
        return type(self)(**self.settings() | settings)

    @abstractmethod
    def view(self, name: Any) -> View:
        """Return the view of a name; `plain` is that of evaluation, and is not random.

        A kind may take more than names, such as transforms.
        """

    @abstractmethod
    def read(self, inputs: Any) -> Samples:
        """Read what a program hands over, such as the paths of files or arrays.

        Raises:
            DataError: If there are no inputs, or one is not of this kind.
        """

    @abstractmethod
    def find(self, place: Path) -> tuple[Samples, list[str]]:
        """Find the samples of a folder or a file, for `acclimate predict`, and a name for each of them.

        Raises:
            DataError: If there are none, or one cannot be read.
        """

    def draw(self, domains: Mapping[str, Inputs]) -> Tensor | None:
        """Draw inputs of the domains as the network sees them.

        Returns:
            A picture, uint8, shape (3, H, W); None where there is no way to show such inputs.
        """
        return None


def contents(kind: Kind) -> dict[str, Any]:
    """Return what a checkpoint keeps of a kind of input: a node from which it is built again."""
    return {"_target_": f"{type(kind).__module__}.{type(kind).__qualname__}", **kind.settings()}
