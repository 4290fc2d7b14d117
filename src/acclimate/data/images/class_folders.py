"""Layout of a folder of images: its parts, and the class folders in them."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from acclimate.config.messages import setting
from acclimate.data.class_names import list_classes, normalised
from acclimate.data.images.file_search import find_files, subfolders_of
from acclimate.data.part_names import part_named
from acclimate.errors import DataError
from acclimate.types import PARTS

log = logging.getLogger(__name__)


class ClassFolders(NamedTuple):
    """The images of a folder.

    Attributes:
        root: The folder.
        files: All images, sorted by their relative path.
        classes: The class of each file; None for a file that is in no class folder.
        folders: Names of all class folders, also of those without images.
        inner: Names of the folders with images in each class folder, and an empty name for images directly in it.
    """

    root: Path
    files: list[Path]
    classes: list[str | None]
    folders: list[str]
    inner: dict[str, set[str]]

    def only(self, names: Collection[str]) -> "ClassFolders":
        """Return only the images of some classes."""
        kept = [place for place, name in enumerate(self.classes) if name in names]
        return self._replace(
            files=[self.files[place] for place in kept],
            classes=[self.classes[place] for place in kept],
            folders=[name for name in self.folders if name in names],
            inner={name: folders for name, folders in self.inner.items() if name in names},
        )

    def without_classes(self) -> "ClassFolders":
        """Return the same images without their classes."""
        return self._replace(classes=[None] * len(self.files), folders=[], inner={})


def find_parts(root: Path, key: str, classes: Collection[str] = ()) -> dict[str, Path]:
    """Return the folders of the parts, or the folder itself under the key `all` if it is not divided.

    Args:
        root: The folder of a domain.
        key: The key that names it, for messages.
        classes: Names of folders that are classes, even if they look like parts.

    Raises:
        DataError: If several folders stand for the same part, or there are parts without a training part.
    """
    folders = subfolders_of(root)
    named = defaultdict(list)
    for name in folders:
        named[None if normalised(name) in classes else part_named(name)].append(name)
    others = named.pop(None, [])
    divided = [name for names in named.values() for name in names if subfolders_of(root / name)]
    if "train" not in named:
        if divided and not others:
            raise DataError(
                f"{root} has {_as_folders(folders)}, but no train/. Name the folder that holds the images: "
                f"{setting(key, str(root / divided[0]))}."
            )
        return {"all": root}
    if others and len(named) == 1 and not _holds_parts(root, key, named["train"][0], others):
        return {"all": root}
    doubled = next((names for part, names in named.items() if len(names) > 1), None)
    if doubled is not None:
        raise DataError(
            f"{root} has {_as_folders(doubled)}, which are names of the same part. Move one of them away, or take one alone: "
            f"{setting(key, str(root / doubled[0]))}."
        )
    if others:
        used = [names[0] for names in named.values()]
        log.warning("%s has %s/, so only its folders %s are used, not %s.", root, named["train"][0], ", ".join(used), ", ".join(others))
    return {part: root / named[part][0] for part in PARTS if part in named}


def _holds_parts(root: Path, key: str, train: str, others: Sequence[str]) -> bool:
    """Return True if a folder called train, next to folders that are not parts, is a part itself; False if it is a class.

    Raises:
        DataError: If it may be either.
    """
    inside = subfolders_of(root / train)
    alike = next((name for name in others if set(inside).intersection(subfolders_of(root / name))), None)
    if alike is not None:
        raise DataError(
            f"{root} has {train}/ and {alike}/ with the same folders in them: {list_classes(inside)}. If {train}/ is a class, name all "
            f"classes: {setting('data.classes', sorted([train, *others]))}. If it is a part, rename {alike}/ to val or test, or take "
            f"{train}/ alone: {setting(key, str(root / train))}."
        )
    return bool(inside)


def find_class_folders(root: Path, rename: Mapping[str, str]) -> ClassFolders:
    """Find the images in a folder, and their class folders.

    Args:
        root: The folder of a domain or of a part.
        rename: Other names for classes.

    Raises:
        DataError: If it contains no images.
    """
    found = find_files(root)
    if left_out := found.left_out():
        log.warning("Left out of %s: %s.", root, left_out)
    if not found.images:
        raise DataError(f"{root} contains no images. Put them into one folder for each class: {root}/CLASS/IMAGE.jpg.")

    def renamed(folder: str) -> str:
        name = normalised(folder)
        return rename.get(name, name)

    names = [path.relative_to(root).parts for path in found.images]
    inner = defaultdict(set)
    for name in names:
        if len(name) > 1:
            inner[renamed(name[0])].add(name[1] if len(name) > 2 else "")
    classes = [renamed(name[0]) if len(name) > 1 else None for name in names]
    folders = [] if all(name is None for name in classes) else sorted({renamed(name) for name in subfolders_of(root)})
    return ClassFolders(root, found.images, classes, folders, dict(inner))


def refuse_loose_images(found: ClassFolders, key: str) -> None:
    """Check that there are no images next to class folders.

    Raises:
        DataError: If there are any.
    """
    loose = [path.name for path, name in zip(found.files, found.classes, strict=True) if name is None]
    if loose and len(loose) < len(found.files):
        unlabelled = " Or take all images without labels: data.unknown_classes=unlabelled." if key == "data.target" else ""
        raise DataError(
            f"{found.root} has class folders, but {loose[0]} is next to them. Move it into one, or take only the folders: "
            f"{setting('data.classes', sorted(found.inner))}.{unlabelled}"
        )


def refuse_odd_layout(found: ClassFolders, key: str) -> None:
    """Check that class folders do not look like parts, domains or groups of classes.

    Raises:
        DataError: If all of them contain only folders, or the same folders.
    """
    inner = {name: folders - {""} for name, folders in found.inner.items()}
    first = next(iter(inner.values()), set())
    are_same = len(inner) > 1 and bool(first) and all(folders == first for folders in inner.values())
    hold_only_folders = bool(inner) and all("" not in folders for folders in found.inner.values())
    if not (are_same or hold_only_folders):
        return
    names = sorted(inner)
    what = "the same folders" if are_same else "only folders"
    within = list_classes({folder for folders in inner.values() for folder in folders})
    raise DataError(
        f"The folders {list_classes(names)} in {found.root} hold {what}: {within}. {_likeness(names, first, are_same)} "
        f"If {list_classes(names)} are the classes all the same, say so: {setting('data.classes', names)}. "
        f"Otherwise name the folder that holds the class folders, such as {setting(key, str(found.root / names[0]))}."
    )


def _likeness(names: Sequence[str], inner: Collection[str], are_same: bool) -> str:
    if are_same and all(part_named(name) for name in inner):
        return "That looks like a division into parts within each class; parts must be the outer folders."
    if are_same:
        return f"That looks like {len(names)} domains or parts, each with the classes {list_classes(inner)}, and not like classes."
    if len(names) == 1:
        return "That looks like a folder around the class folders."
    return "That looks like domains or groups of classes, and not like classes."


def _as_folders(names: Sequence[str]) -> str:
    return " and ".join(f"{name}/" for name in names)
