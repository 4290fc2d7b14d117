"""The base class of data sets in tables: files for each domain, with columns for classes, parts and groups."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.data.class_labels import UnknownClasses
from acclimate.data.placed_data import PlacedData
from acclimate.data.samples import Samples
from acclimate.errors import DataError
from acclimate.types import PARTS


class TableData(PlacedData):
    """Base class of data sets whose samples are the rows of tables, or files that tables list.

    Args:
        label: Name of the column with the classes.
        split: Name of a column with the part of each row, `train`, `val` or `test`; None if there is none.
        group: Name of a column with the group of each row, such as a patient, whose rows stay in one part; None if there is none.
        unknown_classes: Handling of samples whose class the source lacks: `error` refuses them, `drop` leaves them out.
        **loading: Arguments of `PlacedData`.
    """

    def __init__(
        self,
        *,
        label: str = "label",
        split: str | None = None,
        group: str | None = None,
        unknown_classes: UnknownClasses = "error",
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        self.label = label
        self.split = split
        self.group = group
        self.unknown_classes: UnknownClasses = unknown_classes
        # By the name of the sample.
        self.groups: dict[str, str] = {}

    def group_of(self, name: str) -> str | None:
        return self.groups.get(name)

    def given_parts(self, samples: Samples, parts: Sequence[str] | None, table: Path) -> dict[str, Samples]:
        """Return the samples of each part of a table, or under the key `all` if it is not divided.

        Args:
            samples: Samples of the table.
            parts: Part of each sample; None if the table does not say.
            table: File of the table, for messages.

        Raises:
            DataError: If there are no samples to train on.
        """
        if parts is None:
            return {"all": samples}
        rows = {part: [row for row, own in enumerate(parts) if own == part] for part in PARTS}
        if not rows["train"]:
            raise DataError(f"The column {self.split} of {table} has no train. Say of some rows that they train.")
        return {part: samples.take(chosen) for part, chosen in rows.items() if chosen}
