"""The base classes of kinds of inputs and their views, in training and in later use of a model."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from acclimate.config.signatures import made_by
from acclimate.data.samples import Samples
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import Inputs, InputSpec


class View(ABC):
    """Base class of views, the transforms from samples to inputs.

    Attributes:
        name: Name, as in `data.source_view`.
        random: True if the view is random.
    """

    name: str
    random: bool

    @abstractmethod
    def look(self, loaded: Any, seeds: Sequence[int]) -> Inputs:
        """Return the view of each sample.

        Args:
            loaded: The result of `Samples.load`.
            seeds: One seed for each sample, which determines its view; empty for a view that is not random.
        """

    def code(self) -> list[Path]:
        """Return the files with the code of the view, whose contents are part of the key of cached features."""
        return [Path(sys.modules[type(self).__module__].__file__ or "")]


class Kind(ABC):
    """Base class of kinds of inputs with the settings of a run, which are part of checkpoints.

    Attributes:
        spec: Specification of the inputs for models.
    """

    spec: InputSpec

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return plain keywords from which the object can be rebuilt."""

    def changed(self, **settings: Any) -> Self:
        """Return the same kind with other settings.

        Raises:
            ConfigError: If there is no such setting.
        """
        if unknown := settings.keys() - self.settings():
            raise ConfigError(f"{self.spec.noun.capitalize()} have no {', '.join(sorted(unknown))}. Leave it out.")
        return type(self)(**self.settings() | settings)

    @abstractmethod
    def view(self, name: Any) -> View:
        """Return the view of the given name; `plain` is that of evaluation, which is not random.

        A kind may accept more than names, such as transforms.
        """

    @abstractmethod
    def read(self, inputs: Any) -> Samples:
        """Read inputs from Python objects, such as paths of files or arrays.

        Raises:
            DataError: If there are no inputs, or one is not of this kind.
        """

    @abstractmethod
    def find(self, place: Path) -> tuple[Samples, list[str]]:
        """Find the samples of a folder or a file and their names, for `acclimate predict`.

        Raises:
            DataError: If there are no samples, or one cannot be read.
        """

    def find_all(self, places: Sequence[Path]) -> tuple[Samples, list[str]]:
        """Find the samples of several folders and files, as `find` does; a kind that can read more than one overrides this.

        Raises:
            DataError: As for `find`, or if there are several.
        """
        if len(places) != 1:
            raise DataError(f"There are {len(places)} inputs, but {self.spec.noun} are read from one place. Type inputs=PLACE.")
        return self.find(places[0])

    def problems(self, samples: Samples) -> dict[int, str]:
        """Return the reasons why samples cannot be read, by their index; none if this kind reads all of them or raises an error."""
        return {}

    def thumbnails(self, inputs: Inputs) -> Tensor | None:
        """Draw a small picture of each input as seen by the network.

        Returns:
            uint8, shape (N, 3, H, W); None if single inputs cannot be shown.
        """
        return None

    def draw(self, domains: Mapping[str, Inputs]) -> Tensor | None:
        """Draw all inputs of the domains in one picture, for kinds without thumbnails.

        Returns:
            A picture, uint8, shape (3, H, W); None if such inputs cannot be shown.
        """
        return None


def contents(kind: Kind) -> dict[str, Any]:
    """Return the node of a kind of input for checkpoints, from which it can be rebuilt."""
    return {"_target_": _target(type(kind)), **kind.settings()}


def kinds_made_by(function: Callable[..., Kind]) -> set[str]:
    """Return the target that a function declares to make; none if it declares no class.

    A run that trusts a data set also trusts the kind of input that its `kind_for` declares.
    """
    made = made_by(function)
    return {_target(made)} if isinstance(made, type) else set()


def _target(kind: type) -> str:
    """Return the name of a class in configurations."""
    return f"{kind.__module__}.{kind.__qualname__}"
