"""The user's own images in folders."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from acclimate.data.datamodule import missing_source
from acclimate.data.digests import digest_files
from acclimate.data.division import PARTS, DividedData, compiled
from acclimate.data.domains import Domains, Parts
from acclimate.data.images.file_data import ImageFileData
from acclimate.data.images.image_files import ImageFiles, find_files
from acclimate.errors import ConfigError, DataError

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """Files of a folder with their digests and the names of their class folders, if there are any."""

    root: Path
    files: list[Path]
    digests: Tensor
    classes: list[str] | None


class ImageFolder(DividedData, ImageFileData):
    """Images in a folder for the source and one for the target, each with one folder per class.

    A folder may instead contain train/, val/ and optionally test/ with the class folders inside. Otherwise it is divided by a
    hash of each file's contents, so that copies of an image are in the same part: the source class by class, the target
    without using its class folders. A target without class folders is unlabelled. A source without test/ has no test part;
    for a target, half of val/ is kept for testing.

    Two things do depend on the target's class folders: they must have the same names as those of the source, and `classes`
    leaves out the images of all others. For a run without any knowledge of the target's classes, use a folder without them.

    Args:
        source: The folder of labelled images; None only for methods without a source.
        target: The folder of the target; None: transfer learning without a target.
        classes: The class folders of both domains to keep; None: all, which must then be the same.
        group: A regular expression for what an image belongs to, such as a patient, whose images stay in one part; it is searched
            in the path, and its first group counts, or else the whole match. None: each image is by itself.
        **loading: Arguments of `DividedData` and `ImageFileData`.

    Raises:
        ConfigError: If a number is out of its range, or the expression is not valid.
    """

    def __init__(
        self,
        *,
        source: str | None,
        target: str | None = None,
        classes: Sequence[str | int] | None = None,
        group: str | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        self.source = None if source is None else Path(source)
        self.target = None if target is None else Path(target)
        self.classes = None if classes is None else [str(name) for name in classes]
        if self.classes is not None and len(set(self.classes)) < max(len(self.classes), 2):
            raise ConfigError(f"data.classes=[{','.join(self.classes)}] must name at least two classes, each once.")
        self.group = compiled(group)

    def group_of(self, name: str) -> str | None:
        found = None if self.group is None else self.group.search(name)
        return None if found is None else found[1] if found.groups() else found[0]

    def read(self) -> Domains:
        if self.source is None:
            raise missing_source()
        source = self._find(self.source, "source")
        for found in source.values():
            if found.classes is None:
                raise DataError(
                    f"{found.root} has images, but no class folders, and the source needs labels. "
                    f"Put them into one folder for each class: {found.root}/CLASS/IMAGE.jpg."
                )
        classes = self.classes or sorted({name for found in source.values() for name in found.classes or []})
        if len(classes) < 2:
            raise DataError(
                f"data.source={self.source} has only the class folder {classes[0]}. "
                f"A classifier needs at least two: {self.source}/CLASS/IMAGE.jpg."
            )
        for found in source.values():
            self._check_classes(found, classes)
        return Domains(classes, self._divide(source, classes, is_target=False), self.read_target(classes))

    def read_target(self, classes: list[str]) -> Parts | None:
        if self.target is None:
            return None
        if self.classes is not None and sorted(self.classes) != sorted(classes):
            raise DataError(f"data.classes=[{','.join(self.classes)}], but the model knows {', '.join(classes)}.")
        target = self._find(self.target, "target")
        for found in target.values():
            self._check_classes(found, classes)
        return self._divide(target, classes, is_target=True)

    def _find(self, root: Path, domain: str) -> dict[str, Found]:
        """Find the files of each part, or of an undivided folder under the key `all`."""
        if not root.is_dir():
            raise DataError(
                f"data.{domain}={root} is not a folder. It should hold one folder of images for each class; type data.{domain}=DIR."
            )
        roots = {part: root / part for part in PARTS if (root / part).is_dir()} if _has_parts(root) else {"all": root}
        return {part: self._find_images(folder) for part, folder in roots.items()}

    def _find_images(self, root: Path) -> Found:
        files = find_files(root)
        if not files:
            raise DataError(f"{root} contains no images. Put them into one folder for each class: {root}/CLASS/IMAGE.jpg.")
        names = [path.relative_to(root).parts for path in files]
        labelled = all(len(name) > 1 for name in names)
        if not labelled and any(len(name) > 1 for name in names):
            loose = next(path for path, name in zip(files, names, strict=True) if len(name) == 1)
            raise DataError(f"{root} has class folders, but {loose.name} is next to them. Move it into one, or remove it.")
        if labelled and self.classes is not None:
            present = sorted({name[0] for name in names})
            files = [path for path, name in zip(files, names, strict=True) if name[0] in self.classes]
            if not files:
                raise DataError(f"{root} has the classes {', '.join(present)}, but none of data.classes=[{','.join(self.classes)}].")
        # Decoding all files before training finds the bad ones as well.
        kept = self.whole(files)
        whole = [path for path in files if path in kept]
        return Found(root, whole, digest_files(whole), [path.relative_to(root).parts[0] for path in whole] if labelled else None)

    def _check_classes(self, found: Found, classes: list[str]) -> None:
        names = sorted(set(found.classes or classes))
        if names == sorted(classes):
            return
        if self.classes is not None:
            raise DataError(f"{found.root} has no images of {', '.join(sorted(set(classes) - set(names)))}, which data.classes names.")
        missing, extra = sorted(set(classes) - set(names)), sorted(set(names) - set(classes))
        difference = " and ".join([f"lacks {', '.join(missing)}"] * bool(missing) + [f"also has {', '.join(extra)}"] * bool(extra))
        shared = ",".join(sorted(set(classes) & set(names)))
        raise DataError(
            f"{found.root} has the classes {', '.join(names)}, but the source has {', '.join(classes)}: it {difference}. "
            "All parts of both domains need the same folders. "
            + (f"Set 'data.classes=[{shared}]' to keep only shared ones, or, " if shared else "")
            + "if these folders are not classes, put their images into one folder without any."
        )

    def _divide(self, parts: dict[str, Found], classes: list[str], *, is_target: bool) -> Parts:
        images = {
            name: ImageFiles(found.files, _labels(found, classes), digests=found.digests, max_pixels=self.max_pixels, pixels=self.pixels)
            for name, found in parts.items()
        }
        root = next(iter(parts.values())).root
        whole = root if "all" in parts else root.parent
        return self.divide(images, whole, "target" if is_target else "source")


def _labels(found: Found, classes: list[str]) -> Tensor | None:
    return None if found.classes is None else torch.tensor([classes.index(name) for name in found.classes])


def _has_parts(root: Path) -> bool:
    """Return True if a folder is divided into train/, val/ and test/; a folder of classes may have a class called train."""
    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    others = sorted(folders.difference(PARTS))
    if "train" not in folders:
        return False
    if others and "val" not in folders and not any(path.is_dir() for path in (root / "train").iterdir()):
        return False
    if others:
        log.warning("%s has train/, so only its folders %s are used, not %s.", root, ", ".join(PARTS), ", ".join(others))
    return True
