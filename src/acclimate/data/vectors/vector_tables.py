"""The user's own tables of numbers."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Len, doc

from acclimate.config.messages import listed
from acclimate.data.class_labels import find_unknown, number_labels
from acclimate.data.class_names import in_order
from acclimate.data.kind import Kind
from acclimate.data.samples import Samples
from acclimate.data.table_data import TableData
from acclimate.data.tables import has_ending
from acclimate.data.vectors.tables import Table, read_table
from acclimate.data.vectors.vectors import VectorArrays, Vectors, VectorViewName
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import VectorSpec
from acclimate.types import Domain

log = logging.getLogger(__name__)


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
        # The number of values in each row, once it is known.
        self.width: int | None = None
        for key, names in (("columns", columns), ("split", self.split), ("group", self.group)):
            for place in (*self.source, *self.target) if names is not None else ():
                if has_ending(place.path, ".npz"):
                    raise ConfigError(f"{place.path} has arrays without names of columns, so leave data.{key} out, or save it as a table.")

    def look_into(self, place: Path, domain: Domain) -> Table:
        table = read_table(place, columns=self.columns, label=self.label, split=self.split, group=self.group)
        if table.labels is None and domain == "source":
            if has_ending(place, ".npz"):
                raise DataError(f"{place} has no array y, and the source needs labels. Save them as y.")
            raise DataError(
                f"{place} has no column {self.label}, or nothing in it, and the source needs labels. It has "
                f"{listed([*(table.columns or ()), *table.unused])}. Name the column: data.label=COLUMN."
            )
        width = table.values.shape[1]
        if self.width not in (None, width):
            raise DataError(f"{place} has rows of {width} numbers, but all must have {self.width}. Give tables with the same columns.")
        if table.unused and domain == "target":
            log.info(
                "%s has columns that are not used: %s.%s",
                place,
                listed(table.unused),
                f" None is called {self.label}, so it has no labels." if table.labels is None else "",
            )
        # All other tables must have those of the first one.
        self.columns, self.width = table.columns, width
        return table

    def classes_of(self, found: Sequence[Table]) -> list[str]:
        classes = in_order(name for table in found for name in table.labels or ())
        if len(classes) < 2 and self.class_order is None:
            raise DataError(f"{self.source[0].path} has only the class {classes[0]}. A classifier needs at least two.")
        return classes

    def samples_of(self, found: Table, place: Path, classes: list[str], domain: Domain) -> dict[str, Samples]:
        dropped = find_unknown(Counter(found.labels or ()), classes, unknown=self.unknown_classes, what=str(place))
        names = [f"row {row} of {place}" for row in range(len(found.values))]
        self.groups |= dict(zip(names, found.groups or (), strict=False))
        samples = VectorArrays(found.values, None if found.labels is None else number_labels(found.labels, classes), names)
        kept = [row for row in range(len(samples)) if found.labels is None or found.labels[row] not in dropped]
        parts = None if found.parts is None else [found.parts[row] for row in kept]
        return self.given_parts(samples.take(kept) if dropped else samples, parts, place)

    def use_settings_of(self, kind: Kind) -> None:
        if isinstance(kind, Vectors):
            self.columns, self.width = self.columns or kind.columns, kind.spec.width

    def input_spec(self) -> VectorSpec:
        part = self.domains.source or self.domains.target
        assert part is not None
        values = part.train.load(range(len(part.train))).double()
        std, mean = torch.std_mean(values, dim=0, correction=0)
        # A constant column is not informative, whatever it is divided by.
        return VectorSpec(values.shape[1], mean.float(), torch.where(std > 0, std, 1.0).float())

    def kind_for(self, spec: VectorSpec) -> Vectors:  # type: ignore[override]
        return Vectors(width=spec.width, columns=self.columns, label=self.label, mean=spec.mean, std=spec.std)
