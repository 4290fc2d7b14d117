"""Images that a table lists, with their classes, parts and groups."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.data.class_labels import find_unknown, number_labels
from acclimate.data.class_names import in_order, list_classes
from acclimate.data.digests import digest_files
from acclimate.data.images.file_data import ImageFileData
from acclimate.data.images.image_files import ImageFiles
from acclimate.data.samples import Samples
from acclimate.data.table_data import TableData
from acclimate.data.tables import has_labels, parts_of, read_frame, texts
from acclimate.errors import DataError
from acclimate.types import Domain


class ImageTable(TableData, ImageFileData):
    """Images that are listed in a table for the source and one for the target, wherever the files lie.

    A table is a CSV or Parquet file with a row for each image. Paths in it are relative to its folder, or absolute. A target
    without a column of classes is unlabelled. What the tables do not divide is divided by the contents of the images.

    Args:
        path: Name of the column with the paths of the files.
        **loading: Arguments of `TableData` and `ImageFileData`.
    """

    def __init__(self, *, path: str = "path", **loading: Any) -> None:
        super().__init__(**loading)
        self.path = path

    def look_into(self, place: Path, domain: Domain) -> Any:
        frame = read_frame(place, only_texts=True)
        return frame, texts(frame, place, "data.label", self.label) if domain == "source" or has_labels(frame, self.label) else None

    def classes_of(self, found: Sequence[Any]) -> list[str]:
        classes = in_order(name for _, names in found for name in names)
        if len(classes) < 2 and self.class_order is None:
            raise DataError(
                f"The column {self.label} of {self.source[0].path} has only {list_classes(classes)}. "
                "A classifier needs at least two classes."
            )
        return classes

    def samples_of(self, found: Any, table: Path, classes: list[str], domain: Domain) -> dict[str, Samples]:
        frame, names = found
        listed_paths = texts(frame, table, "data.path", self.path)
        if not listed_paths:
            raise DataError(f"{table} lists no images.")
        paths = [table.parent / name for name in listed_paths]
        if missing := [name for name, path in zip(listed_paths, paths, strict=True) if not path.is_file()]:
            raise DataError(
                f"{len(missing)} of the {len(paths)} images that {table} lists do not exist, such as {missing[0]}. Paths are relative to "
                f"the folder of the table, {table.parent.absolute()}."
            )
        dropped = find_unknown(Counter(names or ()), list(classes), unknown=self.unknown_classes, what=str(table))
        if self.group is not None:
            self.groups |= dict(zip(map(str, paths), texts(frame, table, "data.group", self.group), strict=True))
        whole = self.whole(paths)
        kept = [place for place, path in enumerate(paths) if path in whole and (names is None or names[place] not in dropped)]
        files = [paths[place] for place in kept]
        labels = None if names is None else number_labels([names[place] for place in kept], classes)
        images = ImageFiles(files, labels, digests=digest_files(files), max_pixels=self.max_pixels, pixels=self.pixels)
        parts = None if self.split is None else parts_of(frame, table, self.split)
        return self.given_parts(images, None if parts is None else [parts[place] for place in kept], table)
