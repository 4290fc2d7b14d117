"""Inputs of any kind: their representation in a batch, and their specification for models."""

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from acclimate.errors import ConfigError


class Features(NamedTuple):
    """Precomputed features of a frozen backbone, which replace the inputs, shape (N, D)."""

    values: Tensor


# Each tensor has one row per input. Images: uint8 or float in [0, 1], (N, C, H, W); vectors: float32, (N, D). Kinds with several
# tensors have them by name, such as the tokens of texts and their mask.
Inputs = Tensor | Mapping[str, Tensor] | Features


def count(inputs: Inputs) -> int:
    """Return the number of inputs, N.

    >>> count(torch.zeros(3, 2)), count({"tokens": torch.zeros(4, 7)}), count(Features(torch.zeros(5, 1)))
    (3, 4, 5)
    """
    # Not Mapping first: its check takes longer than all the others, and there are several in a training step.
    if isinstance(inputs, Features):
        return len(inputs.values)
    return len(inputs if isinstance(inputs, Tensor) else next(iter(inputs.values())))


def each_tensor(function: Callable[..., Tensor], first: Inputs, *others: Inputs) -> Inputs:
    """Apply a function to the tensors of one or more inputs of the same kind.

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
    """Return the inputs of some rows."""
    return each_tensor(lambda tensor: tensor[rows], inputs)


def join(*inputs: Inputs) -> Inputs:
    """Concatenate inputs of the same kind."""
    return each_tensor(lambda *tensors: torch.cat(tensors), *inputs)


def move(inputs: Inputs, device: torch.device) -> Inputs:
    """Move inputs to a device."""
    return each_tensor(lambda tensor: tensor.to(device, non_blocking=True), inputs)


class InputSpec(ABC):
    """Specification of inputs for models.

    Attributes:
        noun: Name of the kind in the plural, for messages.
        can_be_mixed: True if inputs are a single tensor of numbers whose weighted means are inputs as well.
    """

    noun: ClassVar[str]
    can_be_mixed: ClassVar[bool] = False

    def after(self, earlier: Self) -> Self:
        """Return the specification for a model that was trained on other inputs of the same kind.

        Raises:
            ConfigError: If that model cannot take these inputs.
        """
        return self


@dataclass(frozen=True)
class ImageSpec(InputSpec):
    """Specification of images.

    Attributes:
        size: Height and width in pixels; None: the size that the model was made for.
        channels: C, 3 in RGB.
    """

    noun: ClassVar[str] = "images"
    can_be_mixed: ClassVar[bool] = True

    size: int | None = None
    channels: int = 3

    def after(self, earlier: "ImageSpec") -> "ImageSpec":
        if self.channels != earlier.channels:
            raise ConfigError(
                f"The images have data.channels={self.channels}, but the model was trained on {earlier.channels}. "
                f"Type data.channels={earlier.channels}."
            )
        return self if self.size else earlier


ANY_SIZE = ImageSpec()


@dataclass(frozen=True, eq=False)
class VectorSpec(InputSpec):
    """Specification of vectors.

    Attributes:
        width: D, the number of values of a vector.
        mean: Mean over the source's training inputs, which models subtract, shape (D,); None: 0.
        std: Standard deviation by which models then divide, shape (D,); None: 1.
    """

    noun: ClassVar[str] = "vectors"
    can_be_mixed: ClassVar[bool] = True

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
    """Return the specification of inputs for a model that was trained on inputs with another specification.

    Raises:
        ConfigError: If the inputs are of another kind, or the model cannot take them.
    """
    if type(spec) is not type(earlier):
        raise ConfigError(f"The data contains {spec.noun}, but the model was trained on {earlier.noun}. Choose data with {earlier.noun}.")
    return spec.after(earlier)


# A model for each kind of input, for messages.
MODELS = {"images": "model=small_cnn", "vectors": "model=mlp"}


def refuse_other_inputs(spec: InputSpec, wanted: type, model: str) -> None:
    """Check that a model takes the inputs of a run.

    Args:
        spec: Specification of the inputs.
        wanted: Class of the specification that the model needs.
        model: Name of the model.

    Raises:
        ConfigError: If the inputs are of another kind.
    """
    if not isinstance(spec, wanted):
        raise ConfigError(f"{model} does not accept {spec.noun}. Use {MODELS.get(spec.noun, f'a model for {spec.noun}: model=NAME')}.")
