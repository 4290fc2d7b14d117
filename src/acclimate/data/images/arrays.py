"""Images in NumPy archives."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acclimate.data.archives import read_arrays
from acclimate.data.datamodule import missing_source
from acclimate.data.domains import Domains, Parts, class_names, numbers_as_names
from acclimate.data.images.image_arrays import ImageArrays
from acclimate.data.images.image_data import ImageData
from acclimate.data.splitting import split
from acclimate.errors import DataError
from acclimate.ranges import OpenShare


class Arrays(ImageData):
    """Images in two .npz files with the arrays x_train, y_train, x_test and y_test.

    Images are uint8, shape (N, H, W) or (N, H, W, C) with one or three channels; labels are whole numbers from 0,
    shape (N,). A target needs no labels. The training images are divided by their contents into a training and a validation
    part, the source class by class, the target without using its labels.

    Args:
        source: Path of the labelled archive; None only for methods without a source.
        target: Path of the target's archive; None: transfer learning without a target.
        val_fraction: Share of the training images for validation, above 0 and below 1.
        split_seed: Seed of the division, independent of the run's seed.
        **loading: Arguments of `ImageData`.
    """

    def __init__(
        self, *, source: str | None, target: str | None = None, val_fraction: OpenShare = 0.1, split_seed: int = 0, **loading: Any
    ) -> None:
        super().__init__(**loading)
        self.source = None if source is None else Path(source)
        self.target = None if target is None else Path(target)
        self.val_fraction = val_fraction
        self.split_seed = split_seed

    def read(self) -> Domains:
        if self.source is None:
            raise missing_source()
        source = read_archive(self.source, needs_labels=True)
        train_labels = source["train"].labels
        assert train_labels is not None
        # Checked before each class gets a name and a row of the head.
        if int(train_labels.max()) >= len(train_labels):
            raise DataError(
                f"{self.source} has the label {int(train_labels.max())} in y_train, but only {len(train_labels)} images. Number the "
                "classes from 0, without gaps: numpy.unique(y_train, return_inverse=True)[1]."
            )
        classes = class_names(train_labels)
        if len(classes) < 2:
            raise DataError(f"{self.source} has only the class {classes[0]} in y_train. A classifier needs at least two.")
        _check_test_labels(self.source, source, classes)
        return Domains(classes, self._divide(self.source, source, train_labels), self.read_target(classes))

    def read_target(self, classes: list[str]) -> Parts | None:
        if classes != numbers_as_names(len(classes)):
            raise DataError(f"The classes of arrays are numbers from 0, but the model knows {', '.join(classes)}.")
        if self.target is None:
            return None
        target = read_archive(self.target, needs_labels=False)
        _check_test_labels(self.target, target, classes)
        return self._divide(self.target, target, None)

    def _divide(self, path: Path, archive: dict[str, ImageArrays], labels: Tensor | None) -> Parts:
        images = archive["train"]
        train, val = split(images.digests(), labels, fractions=[self.val_fraction], seed=self.split_seed, what=f"x_train of {path}")
        return Parts(images.take(train), images.take(val), archive["test"])


def _check_test_labels(path: Path, archive: dict[str, ImageArrays], classes: list[str]) -> None:
    labels = archive["test"].labels
    if labels is not None and len(labels) and int(labels.max()) >= len(classes):
        raise DataError(
            f"{path} has the label {int(labels.max())} in y_test, but the source has classes 0 to {len(classes) - 1} in y_train."
        )


def read_archive(path: Path, *, needs_labels: bool) -> dict[str, ImageArrays]:
    """Read the parts `train` and `test` of an archive.

    Raises:
        DataError: If the file or an array is missing, or has a wrong shape or type.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path.resolve()}. With data=arrays, data.source and data.target are .npz files.")
    arrays = read_arrays(path, ("x_train", "y_train", "x_test", "y_test"))
    parts = {}
    for part in ("train", "test"):
        if f"x_{part}" not in arrays:
            raise DataError(f"{path} has the arrays {', '.join(sorted(arrays)) or '(none)'}, but no x_{part}. It needs x_train and x_test.")
        images = _to_images(arrays[f"x_{part}"], f"x_{part} of {path}")
        labels = arrays.get(f"y_{part}")
        if labels is None and needs_labels:
            raise DataError(f"{path} has no y_{part}, but the source needs labels.")
        parts[part] = ImageArrays(images, None if labels is None else _to_labels(labels, len(images), f"y_{part} of {path}"))
    return parts


def _to_images(array: np.ndarray[Any, Any], what: str) -> Tensor:
    channels = array.shape[-1] if array.ndim == 4 else 1
    if array.ndim not in (3, 4) or channels not in (1, 3) or array.dtype != np.uint8 or len(array) == 0:
        raise DataError(
            f"{what} has the shape {array.shape} and the type {array.dtype}. "
            "Images must be uint8 from 0 to 255, at least one, shape (N, H, W), (N, H, W, 1) or (N, H, W, 3)."
        )
    images = torch.from_numpy(array)
    return (images[:, None] if array.ndim == 3 else images.permute(0, 3, 1, 2)).contiguous()


def _to_labels(array: np.ndarray[Any, Any], num_images: int, what: str) -> Tensor:
    if array.shape != (num_images,) or array.dtype.kind not in "iu" or (num_images and array.min() < 0):
        smallest = f" and the smallest value {array.min()}" if array.dtype.kind == "i" and array.size else ""
        raise DataError(
            f"{what} has the shape {array.shape} and the type {array.dtype}{smallest}. "
            f"Labels must be whole numbers from 0, one for each of the {num_images} images."
        )
    if num_images and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"{what} has the label {array.max()}. Number the classes from 0, without gaps.")
    return torch.from_numpy(array.astype(np.int64))
