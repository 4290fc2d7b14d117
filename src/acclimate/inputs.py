"""Inputs of any kind: what a batch holds of them, and what a model wants to know of them."""

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from acclimate.errors import ConfigError


class Features(NamedTuple):
    """What a frozen backbone has computed before, in the place of the inputs: shape (N, D)."""

    values: Tensor


# Of N inputs each tensor has N rows. Images: uint8 or float in [0, 1], (N, 3, H, W); vectors: float32, (N, D); what needs
# several tensors has them by name, such as the tokens of texts and their mask.
Inputs = Tensor | Mapping[str, Tensor] | Features


def count(inputs: Inputs) -> int:
    """Return N.

    >>> count(torch.zeros(3, 2)), count({"tokens": torch.zeros(4, 7)}), count(Features(torch.zeros(5, 1)))
    (3, 4, 5)
    """
    if isinstance(inputs, Mapping):
        inputs = next(iter(inputs.values()))
    return len(inputs.values if isinstance(inputs, Features) else inputs)


def each_tensor(function: Callable[..., Tensor], first: Inputs, *others: Inputs) -> Inputs:
    """Apply a function to the tensors of one or more inputs of one kind.

    >>> each_tensor(lambda tensor: tensor[:1], {"tokens": torch.tensor([[5, 6], [7, 8]])})
    {'tokens': tensor([[5, 6]])}
    """
    rest: Any = others
    if isinstance(first, Features):
        return Features(function(first.values, *(other.values for other in rest)))
    if isinstance(first, Mapping):
        return {name: function(tensor, *(other[name] for other in rest)) for name, tensor in first.items()}
    return function(first, *others)


def take(inputs: Inputs, rows: slice | Tensor) -> Inputs:
    """Return some of the inputs."""
    return each_tensor(lambda tensor: tensor[rows], inputs)


def join(*inputs: Inputs) -> Inputs:
    """Return inputs of a kind one after the other."""
    return each_tensor(lambda *tensors: torch.cat(tensors), *inputs)


def move(inputs: Inputs, device: torch.device) -> Inputs:
    """Return the inputs on a device."""
    return each_tensor(lambda tensor: tensor.to(device, non_blocking=True), inputs)


class InputSpec(ABC):
    """What a model has to know of its inputs.

    Attributes:
        noun: The kind of input in the plural, for messages.
    """

    noun: ClassVar[str]

    def after(self, earlier: Self) -> Self:
        """Return the specification for a model that was trained on inputs of the same kind.

        Raises:
            ConfigError: If that model cannot take these inputs.
        """
        return self


@dataclass(frozen=True)
class ImageSpec(InputSpec):
    """Images.

    Attributes:
        size: Height and width in pixels; None is the size that a model was made for.
    """

    noun: ClassVar[str] = "images"

    size: int | None = None

    def after(self, earlier: "ImageSpec") -> "ImageSpec":
        return self if self.size else earlier


ANY_SIZE = ImageSpec()


@dataclass(frozen=True, eq=False)
class VectorSpec(InputSpec):
    """Vectors of D numbers.

    Attributes:
        width: D.
        mean: Over the source's training inputs, shape (D,), which models subtract; None is 0.
        std: What models then divide by, shape (D,); None is 1.
    """

    noun: ClassVar[str] = "vectors"

    width: int
    mean: Tensor | None = None
    std: Tensor | None = None

    def after(self, earlier: "VectorSpec") -> "VectorSpec":
        if self.width != earlier.width:
            raise ConfigError(
                f"The data has vectors of {self.width} numbers, but the model was trained on {earlier.width}. Give the same columns."
            )
        return self


def spec_after(spec: InputSpec, earlier: InputSpec) -> InputSpec:
    """Return the specification of inputs for a model that was trained on others.

    Raises:
        ConfigError: If they are of another kind, or the model cannot take them.
    """
    if type(spec) is not type(earlier):
        raise ConfigError(f"The data holds {spec.noun}, but the model was trained on {earlier.noun}. Name {earlier.noun}.")
    return spec.after(earlier)


# By the kind of input, one model that takes it.
MODELS = {"images": "model=small_cnn", "vectors": "model=mlp"}


def refuse_other_inputs(spec: InputSpec, wanted: type, model: str) -> None:
    """Check that a model takes the inputs of a run.

    Args:
        spec: That of the inputs.
        wanted: The class that the model's own have.
        model: Its name.

    Raises:
        ConfigError: If they are of another kind.
    """
    if not isinstance(spec, wanted):
        raise ConfigError(f"{model} takes no {spec.noun}. Use {MODELS.get(spec.noun, f'a model for {spec.noun}: model=NAME')}.")
