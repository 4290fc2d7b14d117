"""Images in NumPy archives."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from acclimate.config.suggestions import suggest_readers
from acclimate.data.archives import array_names, read_arrays
from acclimate.data.array_names import find_parts
from acclimate.data.class_labels import UnknownClasses, find_unknown, number_labels, read_labels
from acclimate.data.class_names import in_order
from acclimate.data.images.image_arrays import ImageArrays
from acclimate.data.images.image_data import ImageData
from acclimate.data.images.pixels import EIGHT_BIT_RGB, PixelFormat, from_stored
from acclimate.data.images.stored_pixels import ImageError, Stored
from acclimate.data.placed_data import PlacedData
from acclimate.errors import DataError
from acclimate.ranges import OpenShare
from acclimate.types import Domain

# Order of the axes of colour images.
Axes = Literal["NHWC", "NCHW"]
# Images that become arrays of one type at a time, for the memory.
AT_ONCE = 1024


class Arrays(PlacedData, ImageData):
    """Archives (.npz) with the arrays x_train, y_train, x_val, y_val, x_test and y_test, or x and y.

    Other usual names will do, see `find_parts`. The classes are the labels that occur in the source's training part, by name, and
    those of the target are matched with them. A target may come without labels. The parts are those of the file; what it does not
    divide is divided by the content of the images, the source class by class, the target without using its labels.

    Args:
        axes: Order of the axes of images, if their shape does not say which is that of the channels.
        unknown_classes: Handling of samples whose class the source's training part lacks: `error` refuses them, `drop` leaves
            them out of all parts, also those of the target, so that the division then depends on which of its classes are known.
        val_fraction: Share that selects the checkpoint, where the file does not say.
        **loading: Arguments of `PlacedData` and `ImageData`.
    """

    def __init__(
        self,
        *,
        axes: Axes | None = None,
        unknown_classes: UnknownClasses = "error",
        val_fraction: OpenShare = 0.1,
        **loading: Any,
    ) -> None:
        super().__init__(val_fraction=val_fraction, **loading)
        self.axes: Axes | None = axes
        self.unknown_classes: UnknownClasses = unknown_classes

    def look_into(self, place: Path, domain: Domain) -> "Archive":
        return read_archive(place, needs_labels=domain == "source", axes=self.axes, pixels=self.pixels)

    def classes_of(self, found: "Sequence[Archive]") -> list[str]:
        training = [(archive, archive.parts["train" if "train" in archive.parts else "all"]) for archive in found]
        classes = in_order(
            archive.names[number]
            for archive, images in training
            for number in images.labels.unique().tolist()  # type: ignore[union-attr]
        )
        if len(classes) < 2 and self.class_order is None:
            raise DataError(
                f"{self.source[0].path} has only the class {classes[0]} in {training[0][1].what}. A classifier needs at least two."
            )
        return classes

    def samples_of(self, found: "Archive", place: Path, classes: list[str], domain: Domain) -> "dict[str, ImageArrays]":
        return found.with_classes(classes, self.unknown_classes, place)


class Archive(NamedTuple):
    """Images of an archive by part, or under the key `all`; labels are indices of the names."""

    parts: dict[str, ImageArrays]
    names: list[str]

    def with_classes(self, classes: list[str], unknown: UnknownClasses, path: Path) -> dict[str, ImageArrays]:
        """Return the images with labels that are indices of the given classes.

        Raises:
            DataError: If there are images of other classes, and `unknown` does not leave them out.
        """
        counts = Counter[str]()
        for images in self.parts.values():
            if images.labels is not None:
                numbers = torch.bincount(images.labels, minlength=len(self.names)).tolist()
                counts += Counter(dict(zip(self.names, numbers, strict=True)))
        dropped = find_unknown(counts, classes, unknown=unknown, what=str(path))
        renumbered = number_labels(self.names, classes)
        known = {}
        for part, images in self.parts.items():
            labels = None if images.labels is None else renumbered[images.labels]
            relabelled = images.with_labels(labels)
            known[part] = relabelled if labels is None or not dropped else relabelled.take((labels >= 0).nonzero().flatten().tolist())
            if not len(known[part]):
                raise DataError(f"{images.what} has no images of the classes {', '.join(classes)}, but only others.")
        return known


def read_archive(path: Path, *, needs_labels: bool, axes: Axes | None = None, pixels: PixelFormat = EIGHT_BIT_RGB) -> Archive:
    """Read the parts of an archive.

    Args:
        path: The file.
        needs_labels: Whether all parts must have labels.
        axes: Order of the axes, where it is not certain.
        pixels: Pixel format of all images.

    Raises:
        DataError: If the file or an array is missing, or an array has the wrong shape, type or values.
    """
    if not path.is_file():
        raise DataError(
            f"There is no file {path.resolve()}. With data=arrays, data.source and data.target are .npz files.{suggest_readers(path)}"
        )
    found = find_parts(array_names(path), str(path))
    arrays = read_arrays(path, [name for names in found.values() for name in names if name is not None])
    parts, labels = {}, {}
    for part, names in found.items():
        what = f"{names.samples} of {path}"
        images = _to_images(arrays[names.samples], what, axes, pixels)
        if names.labels is None and needs_labels:
            raise DataError(f"{path} has no {'y' if part == 'all' else f'y_{part}'}, but the source needs labels.")
        if names.labels is not None:
            labels[part] = read_labels(arrays[names.labels], f"{names.labels} of {path}")
            if len(labels[part][1]) != len(images):
                raise DataError(
                    f"{names.labels} of {path} has the shape {arrays[names.labels].shape}. "
                    f"Give one label for each of the {len(images)} images of {names.samples}."
                )
        parts[part] = ImageArrays(images, None, what=what, channels=pixels.channels)
    ordered = in_order(name for names, _ in labels.values() for name in names)
    for part, (own, numbers) in labels.items():
        parts[part].labels = number_labels(own, ordered)[numbers]
    return Archive(parts, ordered)


def _to_images(array: np.ndarray[Any, Any], what: str, axes: Axes | None, pixels: PixelFormat) -> Tensor:
    has = f"{what} has the shape {array.shape} and the type {array.dtype}"
    allowed = pixels.accepted_channels
    last, first = (array.ndim == 4 and array.shape[axis] in allowed for axis in (-1, 1))
    is_grey = array.ndim == 3 and 1 in allowed
    if not (is_grey or last or first) or not array.size:
        shapes = ["(N, H, W)"] * (1 in allowed) + [f"(N, H, W, {num}) or (N, {num}, H, W)" for num in allowed]
        raise DataError(
            f"{has}. Images must be at least one, shape {', '.join(shapes)}."
            + (" Rows of numbers can be read with data=vectors." if array.ndim == 2 else "")
            + (f" For as many channels as these have, type data.channels={min(array.shape[1:])}." if array.ndim == 4 and array.size else "")
        )
    if last and first and axes is None:
        raise DataError(f"{has}. Which are the channels? Type data.axes=NHWC if they come last, or data.axes=NCHW if they come first.")
    if array.ndim == 4 and not {"NHWC": last, "NCHW": first, None: True}[axes]:
        raise DataError(f"{has}, but data.axes={axes} needs the channels there. Type data.axes={'NCHW' if first else 'NHWC'}.")
    values = array[..., None] if is_grey else array.transpose(0, 2, 3, 1) if axes == "NCHW" or not last else array
    blocks = np.array_split(values, -(-len(values) // AT_ONCE))
    if pixels.value_range is None:
        blocks = _to_eight_bits(array, blocks, has, pixels.nan)
    try:
        return torch.cat([_formatted(block, pixels) for block in blocks]).contiguous()
    except ImageError as problem:
        raise DataError(f"{what} {problem}.") from problem


def _formatted(values: np.ndarray[Any, Any], pixels: PixelFormat) -> Tensor:
    """Return images of shape (N, H, W, C) in the format, or grey ones with one channel, which is repeated when they are loaded."""
    num, height, width, channels = values.shape
    is_grey = channels == 1 and pixels.channels == 3
    wanted = replace(pixels, channels=1) if is_grey else pixels
    # One below the other, as if they were one image.
    stored = Stored(values.reshape(num * height, width, channels), has_alpha=channels == 4)
    return from_stored(stored, wanted).view(-1, num, height, width).transpose(0, 1)


def _to_eight_bits(
    array: np.ndarray[Any, Any], blocks: list[np.ndarray[Any, Any]], has: str, nan: float | None
) -> list[np.ndarray[Any, Any]]:
    """Return blocks of an array as uint8 from 0 to 255, if the range of its values is certain."""
    if array.dtype == np.uint8:
        return blocks
    if array.dtype == np.bool_:
        return [block * np.uint8(255) for block in blocks]
    allowed = "Images must be uint8 from 0 to 255, or floats from 0 to 1."
    if array.dtype.kind not in "iuf":
        raise DataError(f"{has}. {allowed}")
    if nan is not None and array.dtype.kind == "f":
        array = np.where(np.isfinite(array), array, array.dtype.type(nan))
        blocks = [np.where(np.isfinite(block), block, block.dtype.type(nan)) for block in blocks]
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{has}, and values that are not finite. {allowed} Type data.nan=0, or fill them in, such as numpy.nan_to_num(x).")
    if array.dtype.kind != "f" or low < 0 or high > 1:
        fits = low >= 0 and 1 < high <= 255
        advice = "x.astype('uint8')" if fits else "((x - LOW) / (HIGH - LOW)).astype('float32') with the range of your values"
        raise DataError(
            f"{has}, and values from {low:g} to {high:g}. {allowed} Type data.value_range=[LOW,HIGH], "
            f"or convert all arrays alike: {advice}."
        )
    # In steps, as the result is smaller than the array.
    return [(255 * block.astype(np.float32)).round().astype(np.uint8) for block in blocks]
