"""The user's own images in folders."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from acclimate.data.cache.store import Cache
from acclimate.data.datamodule import missing_source
from acclimate.data.digests import digest_files
from acclimate.data.division import PARTS, divide
from acclimate.data.domains import Domains, Parts
from acclimate.data.images.decoded_images import decode_once
from acclimate.data.images.image_data import ImageData
from acclimate.data.images.image_files import MAX_PIXELS, ImageFiles, OnBadImage, find_files, keep_whole_images
from acclimate.data.images.images import Images
from acclimate.data.samples import Samples
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import ImageSpec
from acclimate.ranges import Count, OpenShare

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """Files of a folder with their digests and the names of their class folders, if there are any."""

    root: Path
    files: list[Path]
    digests: Tensor
    classes: list[str] | None


class ImageFolder(ImageData):
    """Images in a folder for the source and one for the target, each with one folder per class.

    A folder may instead contain train/, val/ and optionally test/ with the class folders inside. Otherwise it is divided by a
    hash of each file's contents, so that copies of an image are in the same part: the source class by class, the target
    without using its class folders. A target without class folders is unlabelled. A source without test/ has no test part;
    for a target, half of val/ is kept for testing.

    Two things do depend on the target's class folders: they must have the same names as those of the source, and `classes`
    leaves out the images of all others. For a run without any knowledge of the target's classes, use a folder without them.

    Images are reduced to the size of evaluation as soon as they are decoded, so random crops are also taken from that size.
    `cache` does not change the views.

    Args:
        source: The folder of labelled images; None only for methods without a source.
        target: The folder of the target; None: transfer learning without a target.
        classes: The class folders of both domains to keep; None: all, which must then be the same.
        on_bad_image: Reaction to a file that is not a complete image: `error` names it, `skip` leaves it out.
        max_pixels: Largest number of pixels of an image, at least 1, because a small file can be huge in memory.
        cache: Cache for decoded images: `disk` for all later runs, `ram` for this run, or `none`.
        val_fraction: Share for the selection of the checkpoint, if the folder has no val/.
        test_fraction: Share for the final test, if the folder is not divided.
        split_seed: Seed of the division, independent of the run's seed.
        **loading: Arguments of `ImageData`.

    Raises:
        ConfigError: If a number is out of its range.
    """

    def __init__(
        self,
        *,
        source: str | None,
        target: str | None = None,
        classes: Sequence[str | int] | None = None,
        on_bad_image: OnBadImage = "error",
        max_pixels: Count = MAX_PIXELS,
        cache: Cache = "none",
        val_fraction: OpenShare = 0.2,
        test_fraction: OpenShare = 0.2,
        split_seed: int = 0,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        if min(val_fraction, test_fraction) <= 0 or val_fraction + test_fraction >= 1:
            raise ConfigError("data.val_fraction and data.test_fraction must be above 0 with a sum below 1.")
        self.source = None if source is None else Path(source)
        self.target = None if target is None else Path(target)
        self.classes = None if classes is None else [str(name) for name in classes]
        if self.classes is not None and len(set(self.classes)) < max(len(self.classes), 2):
            raise ConfigError(f"data.classes=[{','.join(self.classes)}] must name at least two classes, each once.")
        self.on_bad_image: OnBadImage = on_bad_image
        self.max_pixels = max_pixels
        self.cache: Cache = cache
        self.fractions = {"val": val_fraction, "test": test_fraction}
        self.split_seed = split_seed

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

    def kind_for(self, spec: ImageSpec) -> Images:  # type: ignore[override]
        return super().kind_for(spec).changed(max_pixels=self.max_pixels, on_bad_image=self.on_bad_image)

    def ready(self, domains: Domains) -> Domains:
        side = self.kind.shorter_side
        source, target = (None if parts is None else self._decode_once(parts, side) for parts in domains[1:])
        return Domains(domains.classes, source, target)

    def _decode_once(self, parts: Parts, side: int) -> Parts:
        """Decode all parts together, so that the cache can also be used for another division."""
        files = [part for part in parts if isinstance(part, ImageFiles)]
        digests = {path: digest for part in files for path, digest in zip(part.paths, _digests(part).tolist(), strict=True)}
        paths = sorted(digests)
        places = {path: place for place, path in enumerate(paths)}
        known = torch.tensor([digests[path] for path in paths])
        everything = ImageFiles(paths, None, digests=known, shorter_side=side, max_pixels=self.max_pixels)
        images = decode_once(everything, self.cache)
        decoded = []
        for part in files:
            decoded.append(images.take([places[path] for path in part.paths]))
            decoded[-1].labels = part.labels
        return Parts(*decoded, *[None] * (len(parts) - len(decoded)))

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
        deferred = self.cache != "none" and self.on_bad_image == "error"
        whole = files if deferred else keep_whole_images(files, self.on_bad_image, self.max_pixels)
        if not whole:
            raise DataError(
                f"{root} contains {len(files)} files, but none is a whole image. The messages above describe the problem of each."
            )
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
        images: dict[str, Samples] = {
            name: ImageFiles(found.files, _labels(found, classes), digests=found.digests, max_pixels=self.max_pixels)
            for name, found in parts.items()
        }
        root = next(iter(parts.values())).root
        whole = root if "all" in parts else root.parent
        return divide(images, fractions=self.fractions, seed=self.split_seed, what=whole, is_target=is_target)


def _labels(found: Found, classes: list[str]) -> Tensor | None:
    return None if found.classes is None else torch.tensor([classes.index(name) for name in found.classes])


def _digests(images: ImageFiles) -> Tensor:
    digests = images.digests()
    assert digests is not None
    return digests


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
