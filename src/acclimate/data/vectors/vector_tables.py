"""The user's own tables of numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Len, doc
from torch import Tensor

from acclimate.data.class_labels import in_order
from acclimate.data.datamodule import missing_source
from acclimate.data.domains import Domains, Parts
from acclimate.data.kind import Kind
from acclimate.data.table_data import TableData
from acclimate.data.vectors.tables import Table, read_table
from acclimate.data.vectors.vectors import VectorArrays, Vectors, VectorViewName
from acclimate.errors import DataError
from acclimate.inputs import VectorSpec


class VectorTables(TableData):
    """Tables of numbers for the source and the target: rows of a database, sensor readings, or ready embeddings.

    Each is a CSV or Parquet file with a column of classes, or an `.npz` file with the arrays x and y; a target needs no classes.
    The parts are those of the file, or it is divided by the contents of the rows: the source class by class, the target without
    using its classes. Models standardise each value by its mean and standard deviation over the source's training part.

    Args:
        columns: Names of the columns with numbers; None: all of the source except those of classes and parts. A target may have
            additional columns.
        source_view: View of source vectors in training, see `VectorView`.
        target_views: Views of target vectors in training.
        strong_view: Additional view of target vectors for terms that compare two views, and both views of all vectors for
            methods that compare two views, such as SimCLR.
        **loading: Arguments of `TableData`.

    Raises:
        ConfigError: If a number is out of its range.
    """

    def __init__(
        self,
        *,
        columns: Annotated[Sequence[str], Len(1), doc("Name the columns, or use null for all.")] | None = None,
        source_view: VectorViewName = "plain",
        target_views: Annotated[Sequence[VectorViewName], Len(1), doc("Name a view, such as [plain].")] = ("plain",),
        strong_view: VectorViewName = "strong",
        **loading: Any,
    ) -> None:
        super().__init__(source_view=source_view, target_views=target_views, strong_view=strong_view, **loading)
        self.columns = None if columns is None else list(columns)

    def read(self) -> Domains:
        if self.source is None:
            raise missing_source()
        table = self._read(self.source)
        if table.labels is None:
            wanted = "no array y" if self.source.suffix == ".npz" else f"no column {self.label}"
            raise DataError(f"{self.source} has {wanted}, and the source needs labels. Name the column: data.label=COLUMN.")
        self.columns = table.columns
        classes = in_order(table.labels)
        if len(classes) < 2:
            raise DataError(f"{self.source} has only the class {classes[0]}. A classifier needs at least two.")
        source = self._divide(table, self.source, classes, is_target=False)
        return Domains(classes, source, self.read_target(classes))

    def read_target(self, classes: list[str]) -> Parts | None:
        if self.target is None:
            return None
        table = self._read(self.target)
        if unknown := in_order(set(table.labels or []) - set(classes)):
            raise DataError(
                f"{self.target} has the classes {', '.join(unknown[:8])}, which the source does not have: it has {', '.join(classes[:8])}. "
                "Leave these rows out, or the whole column."
            )
        self.columns = table.columns
        return self._divide(table, self.target, classes, is_target=True)

    def continue_from(self, kind: Kind) -> None:
        if isinstance(kind, Vectors) and self.columns is None:
            self.columns = kind.columns

    def input_spec(self) -> VectorSpec:
        part = self.domains.source or self.domains.target
        assert part is not None and isinstance(part.train, VectorArrays)
        values = part.train.values.double()
        std, mean = torch.std_mean(values, dim=0, correction=0)
        # A constant column is not informative, whatever it is divided by.
        return VectorSpec(values.shape[1], mean.float(), torch.where(std > 0, std, 1.0).float())

    def kind_for(self, spec: VectorSpec) -> Vectors:  # type: ignore[override]
        return Vectors(width=spec.width, columns=self.columns, label=self.label, mean=spec.mean, std=spec.std)

    def _read(self, path: Path) -> Table:
        return read_table(path, columns=self.columns, label=self.label, split=self.split, group=self.group)

    def _divide(self, table: Table, path: Path, classes: list[str], *, is_target: bool) -> Parts:
        names = [f"row {row} of {path}" for row in range(len(table.values))]
        self.groups |= dict(zip(names, table.groups or (), strict=False))
        samples = VectorArrays(table.values, _numbered(table.labels, classes), names)
        return self.divide(self.given_parts(samples, table.parts, path), path, "target" if is_target else "source")


def _numbered(labels: Sequence[str] | None, classes: Sequence[str]) -> Tensor | None:
    numbers = {name: number for number, name in enumerate(classes)}
    return None if labels is None else torch.tensor([numbers[label] for label in labels])
