"""Somebody's own images in folders."""

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
    """Files of one folder with their digests, and the class folder that each is in, if there are class folders."""

    root: Path
    files: list[Path]
    digests: Tensor
    classes: list[str] | None


class ImageFolder(ImageData):
    """A folder for the source and one for the target, each with a folder per class.

    A folder may instead hold train/, val/ and perhaps test/ with the class folders in them. What is not divided is
    divided here by a hash of each file's content, so that copies of an image are in one part: the source class by class, the
    target without a look at its class folders. A target whose images are in no class folders is unlabelled.
    Without test/, a source has no test part; of a target, half of val/ is kept for testing.

    Two things do depend on the target's class folders: they must have the names of the source's, and `classes` leaves out
    the images of all others. A run that should know nothing of the target's classes takes a folder without class folders.

    Images are reduced to the size that evaluation resizes them to as soon as they are decoded, so random crops also cut
    from that size. No choice of `cache` changes what is seen.

    Args:
        source: The folder of labelled images; None only for methods that take no source.
        target: The folder of the target, or None for plain transfer learning.
        classes: Keep only these class folders of both domains; None takes all, which then must be the same.
        on_bad_image: What to do about a file that is not a whole image: `error` names it, `skip` leaves it out.
        max_pixels: That an image may have, at least 1: a small file can be huge in memory. Others are bad.
        cache: Where decoded images are kept: `disk`, for all runs to come, `ram`, for this one, or `none`.
        val_fraction: Share that selects the checkpoint, where the folder does not say.
        test_fraction: Share for the final report, where the folder does not say.
        split_seed: Governs the division, apart from the run's seed.
        **loading: What `ImageData` takes.

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
        """The same parts; decoded together, so that another division finds them as well."""
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
        """The files of each part, or of all parts together under the key `all`."""
        if not root.is_dir():
            raise DataError(
                f"data.{domain}={root} is not a folder. It should hold one folder of images for each class; type data.{domain}=DIR."
            )
        roots = {part: root / part for part in PARTS if (root / part).is_dir()} if _has_parts(root) else {"all": root}
        return {part: self._find_images(folder) for part, folder in roots.items()}

    def _find_images(self, root: Path) -> Found:
        files = find_files(root)
        if not files:
            raise DataError(f"{root} holds no images. Put them into one folder for each class: {root}/CLASS/IMAGE.jpg.")
        names = [path.relative_to(root).parts for path in files]
        labelled = all(len(name) > 1 for name in names)
        if not labelled and any(len(name) > 1 for name in names):
            loose = next(path for path, name in zip(files, names, strict=True) if len(name) == 1)
            raise DataError(f"{root} has class folders, but {loose.name} is beside them. Move it into one, or remove it.")
        if labelled and self.classes is not None:
            present = sorted({name[0] for name in names})
            files = [path for path, name in zip(files, names, strict=True) if name[0] in self.classes]
            if not files:
                raise DataError(f"{root} has the classes {', '.join(present)}, but none of data.classes=[{','.join(self.classes)}].")
        # Whoever decodes all of them before training finds the bad ones as well.
        deferred = self.cache != "none" and self.on_bad_image == "error"
        whole = files if deferred else keep_whole_images(files, self.on_bad_image, self.max_pixels)
        if not whole:
            raise DataError(
                f"{root} holds {len(files)} files, but not one is a whole image. The messages above say what is wrong with each."
            )
        return Found(root, whole, digest_files(whole), [path.relative_to(root).parts[0] for path in whole] if labelled else None)

    def _check_classes(self, found: Found, classes: list[str]) -> None:
        names = sorted(set(found.classes or classes))
        if names == sorted(classes):
            return
        if self.classes is not None:
            raise DataError(f"{found.root} has no images of {', '.join(sorted(set(classes) - set(names)))}, which data.classes names.")
        missing, extra = sorted(set(classes) - set(names)), sorted(set(names) - set(classes))
        difference = " and ".join([f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(extra)} besides"] * bool(extra))
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
    """Whether a folder is divided into train/, val/ and test/, and is not one of classes of which one is called train."""
    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    others = sorted(folders.difference(PARTS))
    if "train" not in folders:
        return False
    if others and "val" not in folders and not any(path.is_dir() for path in (root / "train").iterdir()):
        return False
    if others:
        log.warning("%s has train/, so only its folders %s are used, not %s.", root, ", ".join(PARTS), ", ".join(others))
    return True
