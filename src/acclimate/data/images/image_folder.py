"""The user's own images in folders."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from acclimate.config.messages import setting
from acclimate.config.suggestions import suggest_readers
from acclimate.data.class_labels import number_labels
from acclimate.data.class_names import list_classes, normalised, offer_renaming
from acclimate.data.digests import digest_files
from acclimate.data.division import compiled
from acclimate.data.domains import Parts
from acclimate.data.images.class_folders import ClassFolders, find_class_folders, find_parts, refuse_loose_images, refuse_odd_layout
from acclimate.data.images.file_data import ImageFileData
from acclimate.data.images.file_search import subfolders_of
from acclimate.data.images.image_files import ImageFiles
from acclimate.data.placed_data import PlacedData
from acclimate.errors import ConfigError, DataError
from acclimate.types import Domain

log = logging.getLogger(__name__)


class ImageFolder(PlacedData, ImageFileData):
    """Images in folders for the source and the target, each with one folder per class.

    A folder may instead contain train/, val/ and optionally test/ with the class folders inside, under any usual name of these
    parts, such as Training/, valid/ and holdout/. Otherwise it is divided by a hash of each file's contents, so that copies of an
    image are in the same part: the source class by class, the target without using its class folders. A target without class
    folders is unlabelled. A source without test/ has no test part; for a target, half of val/ is kept for testing.

    The target's class folders matter in two ways: they must be among those of the source, some of which may be missing, and
    `classes` leaves out the images of all others. A run with `unknown_classes=unlabelled` does not depend on them at all.

    Files that file managers, network drives and notebooks leave behind, and files that are not images, are left out and logged.
    Names of classes are equal whether their accents are composed or not; bytes in them that are not UTF-8 become escapes.

    Args:
        classes: The class folders of both domains to keep; None: all.
        rename: Other names for classes of both domains, by the name of the folder.
        unknown_classes: Handling of target classes that the source lacks: `error` refuses them, `drop` leaves their images out,
            `unlabelled` takes all images of the target without labels.
        group: A regular expression that finds the group of an image in its path, such as a patient, whose images stay in one part:
            its first group in parentheses, or else the whole match. None: there are no groups.
        **loading: Arguments of `PlacedData` and `ImageFileData`.

    Raises:
        ConfigError: If a number is out of its range, or the expression is not valid.
    """

    def __init__(
        self,
        *,
        classes: Sequence[str | int] | None = None,
        rename: Mapping[str, str] | Sequence[Sequence[str]] | None = None,
        unknown_classes: Literal["error", "drop", "unlabelled"] = "error",
        group: str | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        self.classes = None if classes is None else [normalised(str(name)) for name in classes]
        # Pairs are what the command makes of names that Hydra would not take as keys.
        pairs = rename.items() if isinstance(rename, Mapping) else rename or ()
        self.rename = {normalised(str(old)): normalised(str(new)) for old, new in pairs}
        self.unknown_classes = unknown_classes
        if self.classes is not None and len(set(self.classes)) < max(len(self.classes), 2):
            raise ConfigError(f"data.classes=[{','.join(self.classes)}] must name at least two classes, each once.")
        self.group = compiled(group)

    def group_of(self, name: str) -> str | None:
        found = None if self.group is None else self.group.search(name)
        return None if found is None else found[1] if found.groups() else found[0]

    def read_target(self, classes: list[str]) -> Parts | None:
        if self.target and self.classes is not None and sorted(self.classes) != sorted(classes):
            raise DataError(f"data.classes=[{','.join(self.classes)}], but the model knows {list_classes(classes)}.")
        return super().read_target(classes)

    def look_into(self, place: Path, domain: Domain) -> dict[str, ClassFolders]:
        parts = self._find(place, domain)
        if domain == "target":
            return parts
        for part, found in parts.items():
            if not found.inner:
                raise DataError(
                    f"{found.root} has images, but no class folders, and the source needs labels. "
                    f"Put them into one folder for each class: {found.root}/CLASS/IMAGE.jpg."
                )
            chosen = self._choose_classes(found, "data.source")
            if self.classes is None and len(parts) == 1 and len(found.folders) == 1 and len(self.source) == 1:
                raise DataError(_single_class(found))
            if self.classes is None:
                refuse_odd_layout(chosen, "data.source")
            parts[part] = self._keep_whole(chosen)
        return parts

    def classes_of(self, found: Sequence[dict[str, ClassFolders]]) -> list[str]:
        training = [parts.get("all") or parts["train"] for parts in found]
        classes = self.classes or sorted({name for parts in found for folders in parts.values() for name in folders.folders})
        roots, trained = " and ".join(str(folders.root) for folders in training), {name for folders in training for name in folders.classes}
        if self.may_lack_classes and self.class_order is not None:
            self._compare_with_model(roots, [name for name in classes if name in trained], lacks=False)
            return classes
        if missing := sorted(set(classes) - trained):
            rest = sorted(set(classes) - set(missing))
            if self.classes is not None:
                raise DataError(f"{roots} has no images of {list_classes(missing)}, which data.classes names.")
            raise DataError(
                f"{roots} has no images of {list_classes(missing)}, so this class cannot be learned. "
                f"{offer_renaming(missing, rest, self.rename)}"
                + (f"Leave it out: {setting('data.classes', rest)}." if len(rest) > 1 else "Put some into its folder.")
            )
        if len(classes) < 2:
            raise DataError(_single_class(training[0]))
        if self.class_order is not None:
            self._compare_with_model(roots, classes, lacks=True)
        return classes

    def _find(self, root: Path, domain: Domain) -> dict[str, ClassFolders]:
        """Find the files of each part, or all files under the key `all`."""
        key = f"data.{domain}"
        if not root.is_dir():
            raise DataError(
                f"{key}={root} is not a folder. It should hold one folder of images for each class; type {key}=DIR."
                f"{suggest_readers(root) or ' Archives must be unpacked.'}"
            )
        parts = find_parts(root, key, [*(self.classes or ()), *self.rename])
        found = {part: find_class_folders(folder, self.rename) for part, folder in parts.items()}
        if unused := sorted(self.rename.keys() - {normalised(name) for folder in parts.values() for name in subfolders_of(folder)}):
            log.info("%s has no folder %s, which data.rename names.", root, ", ".join(unused))
        return found

    def _choose_classes(self, found: ClassFolders, key: str) -> ClassFolders:
        """Return only the images of `data.classes`."""
        if self.classes is None:
            refuse_loose_images(found, key)
            return found
        if not found.inner:
            return found
        chosen = found.only(self.classes)
        if not chosen.files:
            raise DataError(
                f"{found.root} has the classes {list_classes(found.inner)}, but none of data.classes=[{','.join(self.classes)}]."
            )
        if left := sum(name is None for name in found.classes):
            log.warning("Left out of %s: %d images beside the class folders.", found.root, left)
        return chosen

    def _keep_whole(self, found: ClassFolders) -> ClassFolders:
        whole = self.whole(found.files)
        kept = [place for place, path in enumerate(found.files) if path in whole]
        return found._replace(files=[found.files[place] for place in kept], classes=[found.classes[place] for place in kept])

    def _compare_with_model(self, roots: str, classes: list[str], *, lacks: bool) -> None:
        """Compare the classes of the source with those of a trained model."""
        assert self.class_order is not None
        unknown, lacking = set(classes) - set(self.class_order), set(self.class_order) - set(classes)
        if (unknown and self.unknown_classes != "drop") or (lacking and lacks):
            drop = "" if lacks and lacking else " Or leave the images of others out: data.unknown_classes=drop."
            raise DataError(
                f"{roots} has the classes {list_classes(classes)}, but the model knows {list_classes(self.class_order)}. "
                f"{offer_renaming(unknown | lacking, self.class_order, self.rename)}Name data with the same classes.{drop}"
            )

    def samples_of(self, found: dict[str, ClassFolders], place: Path, classes: list[str], domain: Domain) -> dict[str, ImageFiles]:
        parts = {part: self._only_known(folders, classes, domain) for part, folders in found.items()}
        return {
            part: ImageFiles(
                folders.files,
                number_labels([name for name in folders.classes if name is not None], classes) if folders.inner else None,
                digests=digest_files(folders.files),
                max_pixels=self.max_pixels,
                pixels=self.pixels,
            )
            for part, folders in parts.items()
        }

    def _only_known(self, found: ClassFolders, classes: list[str], domain: Domain) -> ClassFolders:
        """Return the images of a part that are of known classes, or all images of a target without class folders."""
        if domain == "target" and self.unknown_classes == "unlabelled":
            return self._keep_whole(found.without_classes())
        chosen = self._choose_classes(found, f"data.{domain}")
        unknown = sorted(set(chosen.inner) - set(classes))
        if unknown and self.unknown_classes == "error":
            raise DataError(self._describe_unknown(chosen, unknown, classes))
        if domain == "target" and self.classes is None and chosen.inner:
            refuse_odd_layout(chosen, "data.target")
        if unknown:
            kept = chosen.only(classes)
            if not kept.files:
                raise DataError(f"{chosen.root} has the classes {list_classes(unknown)}, but none that are known: {list_classes(classes)}.")
            log.warning(
                "Left out of %s: %d images of the classes %s, which the source lacks.",
                chosen.root,
                len(chosen.files) - len(kept.files),
                list_classes(unknown),
            )
            chosen = kept
        # Those of the source were looked at before.
        whole = chosen if domain == "source" else self._keep_whole(chosen)
        if chosen.inner:
            _say_what_is_missing(whole, classes)
        return whole

    def _describe_unknown(self, found: ClassFolders, unknown: list[str], classes: list[str]) -> str:
        around = _folder_around(found, "data.target") if len(found.folders) == 1 else ""
        shared = sorted(set(classes) & set(found.inner))
        leave_out = f"Keep the shared ones with {setting('data.classes', shared)}, or leave" if len(shared) > 1 else "Leave"
        leave_out = f"{leave_out} their images out with data.unknown_classes=drop. " if shared else ""
        return (
            f"{found.root} has the classes {list_classes(found.inner)}, but the source has {list_classes(classes)}: it also has "
            f"{list_classes(unknown)}. "
            f"{offer_renaming(unknown, classes, self.rename)}{around}"
            f"{leave_out}If these folders are not classes, take all images without labels: data.unknown_classes=unlabelled."
        )


def _single_class(found: ClassFolders) -> str:
    return (
        f"data.source={found.root} has only the class folder {found.folders[0]}. A classifier needs at least two: "
        f"{found.root}/CLASS/IMAGE.jpg. {_folder_around(found, 'data.source')}"
    ).rstrip()


def _folder_around(found: ClassFolders, key: str) -> str:
    """Return advice if the only folder seems to contain the class folders; otherwise an empty text."""
    inner = found.inner.get(found.folders[0], set()) - {""}
    folder = next((name for name in subfolders_of(found.root)), None)
    if not (inner and folder):
        return ""
    return f"If its folders {list_classes(inner)} are the classes, type {setting(key, str(found.root / folder))}. "


def _say_what_is_missing(found: ClassFolders, classes: list[str]) -> None:
    if missing := set(classes) - set(found.classes):
        log.warning("%s has no images of %s.", found.root, list_classes(missing))
