"""Vectors as a kind of input."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from acclimate.config.messages import listed
from acclimate.data.digests import digest_arrays, fingerprint
from acclimate.data.kind import Kind, View
from acclimate.data.samples import Samples, rows_of
from acclimate.data.vectors.numbers import as_values
from acclimate.data.vectors.tables import read_table
from acclimate.errors import DataError
from acclimate.figures import DOMAIN_COLOURS, picture
from acclimate.inputs import VectorSpec
from acclimate.ranges import Count

VectorViewName = Literal["plain", "noise", "strong"]
# Standard deviation of the noise relative to standardised values, and the share of values that a strong view hides.
NOISE = 0.1
STRONG_NOISE = 0.2
HIDDEN = 0.2


class VectorArrays(Samples):
    """Vectors in memory.

    Args:
        values: float32, shape (N, D).
        labels: int64, shape (N,), or None.
        names: Names of the N rows for messages.
    """

    def __init__(self, values: Tensor, labels: Tensor | None, names: Sequence[str]) -> None:
        self.values = values
        self.labels = labels
        self.names = list(names)

    def __len__(self) -> int:
        return len(self.values)

    def load(self, indices: Sequence[int]) -> Tensor:
        return self.values[torch.as_tensor(indices)]

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return type(self)(self.values[chosen], rows_of(self.labels, chosen), [self.names[index] for index in indices])

    def name(self, index: int) -> str:
        return self.names[index]

    def describe(self) -> str:
        return f"{self.values.shape[1]:,} numbers, from {self.values.min():.4g} to {self.values.max():.4g}"

    def digests(self) -> Tensor:
        return self._digests

    @cached_property
    def _digests(self) -> Tensor:
        return digest_arrays(self.values)

    def fingerprint(self) -> str:
        return fingerprint(self.values)


class VectorView(View):
    """A view of vectors, unchanged or with random changes.

    Args:
        name: `plain` changes nothing. `noise` adds Gaussian noise of a tenth of each value's standard deviation. `strong` adds
            twice as much, and sets a fifth of the values to their mean, for terms and methods that compare views.
        spec: Specification with the mean and the standard deviation of the values.
    """

    def __init__(self, name: VectorViewName, spec: VectorSpec) -> None:
        self.name = name
        self.random = name != "plain"
        self.mean = torch.zeros(spec.width) if spec.mean is None else spec.mean.cpu()
        self.std = torch.ones(spec.width) if spec.std is None else spec.std.cpu()

    def look(self, vectors: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the view of each vector, float32, shape (N, D).

        Args:
            vectors: float32, shape (N, D).
            seeds: See `View`.
        """
        if not self.random:
            return vectors
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        noise = torch.stack([torch.randn(len(self.mean), generator=generator) for generator in generators])
        if self.name == "noise":
            return vectors + NOISE * self.std * noise
        hidden = torch.stack([torch.rand(len(self.mean), generator=generator) for generator in generators]) < HIDDEN
        return torch.where(hidden, self.mean, vectors + STRONG_NOISE * self.std * noise)


class Vectors(Kind):
    """Vectors of numbers as a kind of input.

    Args:
        width: Number of values of a vector.
        columns: Names of the values; None if they have none.
        label: Name of the column with the classes, which tables for prediction may also have.
        mean: See `VectorSpec`; needed only for random views.
        std: See `VectorSpec`.
    """

    spec: VectorSpec

    def __init__(
        self,
        *,
        width: Count,
        columns: Sequence[str] | None = None,
        label: str = "label",
        mean: Tensor | None = None,
        std: Tensor | None = None,
    ) -> None:
        self.spec = VectorSpec(width, mean, std)
        self.columns = None if columns is None else list(columns)
        self.label = label

    def settings(self) -> dict[str, Any]:
        return {"width": self.spec.width, "columns": self.columns, "label": self.label}

    def view(self, name: VectorViewName) -> VectorView:
        return VectorView(name, self.spec)

    def read(self, inputs: Any) -> VectorArrays:
        """Read vectors from Python objects.

        Args:
            inputs: A data frame of pandas or Polars, whose columns are found by name; an array or a tensor of numbers, shape (N, D) or
                (D,), or rows of D numbers, in the order of the columns that the model was trained on; or the path of a table.
        """
        if isinstance(inputs, str | Path):
            return self.find(Path(inputs))[0]
        if hasattr(inputs, "columns"):
            inputs = self._columns_of(inputs)
        if isinstance(inputs, Tensor):
            inputs = inputs.detach().cpu()
        try:
            values = np.asarray(inputs)
            values = (
                values
                if values.dtype.kind in "biuf"
                else values.astype(np.float64, casting="safe" if values.dtype.kind == "c" else "unsafe")
            )
        except (TypeError, ValueError) as error:
            raise DataError(f"The inputs are not rows of numbers: {error}") from error
        rows = values[None] if values.ndim == 1 else values
        if rows.ndim != 2 or rows.shape[1] != self.spec.width:
            raise DataError(f"The inputs have the shape {tuple(values.shape)}. Give vectors of {self.spec.width} numbers.")
        numbers = as_values(rows, "The table of inputs", self.columns) if len(rows) else torch.zeros(rows.shape)
        return VectorArrays(numbers, None, [f"inputs[{row}]" for row in range(len(rows))])

    def _columns_of(self, frame: Any) -> Any:
        """Return the columns of a data frame that the model was trained on, in this order."""
        names = {str(name): name for name in frame.columns}
        wanted = [name for name in names if name != self.label] if self.columns is None else self.columns
        if missing := [name for name in wanted if name not in names]:
            raise DataError(f"The data frame lacks the columns {listed(missing)}. It has {listed(list(names))}.")
        return frame[[names[name] for name in wanted]].to_numpy()

    def find(self, place: Path) -> tuple[VectorArrays, list[str]]:
        table = read_table(place, columns=self.columns, label=self.label, split=None)
        if table.values.shape[1] != self.spec.width:
            raise DataError(f"{place} has vectors of {table.values.shape[1]} numbers, but the model was trained on {self.spec.width}.")
        rows = [str(row) for row in range(len(table.values))]
        return VectorArrays(table.values, None, [f"row {row} of {place}" for row in rows]), rows

    def draw(self, domains: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        """Draw the first two principal components of all vectors, with one colour per domain."""
        vectors = torch.cat(list(domains.values())).double()
        centred = vectors - vectors.mean(dim=0)
        scaled = centred / centred.std(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
        directions = torch.linalg.svd(scaled, full_matrices=False).Vh[:2]
        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.add_subplot()
        for (domain, part), marker in zip(domains.items(), "ox", strict=False):
            points = (scaled @ directions.T).split([len(one) for one in domains.values()])[list(domains).index(domain)]
            across, up = points[:, 0], points[:, 1] if points.shape[1] > 1 else torch.zeros(len(part))
            axes.scatter(across, up, s=12, marker=marker, color=DOMAIN_COLOURS[domain], label=f"{domain}, {len(part)} shown", alpha=0.7)
        axes.set(xlabel="principal component 1", ylabel="principal component 2")
        axes.set_title("Training inputs, each number standardised", fontsize=11)
        # Not over the points.
        figure.legend(ncols=2, fontsize=9, frameon=False, loc="outside lower center")
        return picture(figure)
