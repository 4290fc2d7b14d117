"""The base class of data sets of image files, which are decoded once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from acclimate.data.cache.store import Cache
from acclimate.data.domains import Domains, Parts
from acclimate.data.images.decoded_images import decode_once
from acclimate.data.images.decoding import MAX_PIXELS, OnBadImage, keep_whole_images
from acclimate.data.images.image_data import ImageData
from acclimate.data.images.image_files import ImageFiles
from acclimate.data.images.images import Images
from acclimate.data.images.value_range import Extremes, find_range, joined
from acclimate.data.joined_samples import change_sets, sets_of
from acclimate.data.samples import Samples
from acclimate.errors import DataError
from acclimate.inputs import ImageSpec
from acclimate.ranges import Count


class ImageFileData(ImageData):
    """Images in files.

    Images are reduced to the size of evaluation as soon as they are decoded, so random crops are also taken from that size.
    `cache` does not change the views.

    Args:
        on_bad_image: Reaction to a file that is not a complete image: `error` names it, `skip` leaves it out.
        max_pixels: Largest number of pixels of an image, at least 1, because a small file can be huge in memory.
        cache: Cache for decoded images: `disk` for all later runs, `ram` for this run, or `none`.
        **loading: Arguments of `ImageData`.
    """

    def __init__(
        self, *, on_bad_image: OnBadImage = "error", max_pixels: Count = MAX_PIXELS, cache: Cache = "none", **loading: Any
    ) -> None:
        super().__init__(**loading)
        self.on_bad_image: OnBadImage = on_bad_image
        self.max_pixels = max_pixels
        self.cache: Cache = cache

    def kind_for(self, spec: ImageSpec) -> Images:  # type: ignore[override]
        return super().kind_for(spec).changed(max_pixels=self.max_pixels, on_bad_image=self.on_bad_image)

    def whole(self, files: Sequence[Path]) -> set[Path]:
        """Return the files that are complete images, as far as they are read before training.

        Raises:
            DataError: If a file is not a complete image and `on_bad_image` is `error`, or none is.
        """
        # If all images are decoded before training, bad ones are found then.
        if self.cache != "none" and self.on_bad_image == "error":
            return set(files)
        whole = set(keep_whole_images(files, self.on_bad_image, self.max_pixels, self.pixels))
        if not whole:
            raise DataError(f"None of the {len(files)} files is a complete image. The messages above say what is wrong with each.")
        return whole

    def ready(self, domains: Domains) -> Domains:
        if self.pixels.value_range is None:
            self.pixels = replace(self.pixels, value_range=find_range(self._extremes(domains.source), self._extremes(domains.target)))
            self.kind = self.kind.changed(value_range=self.pixels.value_range)
        side = self.kind.shorter_side
        return domains.changed(lambda parts: change_sets(parts, lambda sets: self._decode_once(sets, side)))

    def _extremes(self, parts: Parts | None) -> Extremes | None:
        """Return the extremes of the images of a domain that have more than 8 bits."""
        files = [] if parts is None else [samples for samples in sets_of(parts) if isinstance(samples, ImageFiles)]
        try:
            return joined(part.extremes() for part in files)
        except DataError:
            # Counts all bad files instead of naming only the first one.
            keep_whole_images(sorted(path for part in files for path in part.paths), "error", self.max_pixels, self.pixels)
            raise

    def _decode_once(self, sets: Sequence[Samples], side: int) -> list[Samples]:
        """Decode the parts of a domain together, so that another division finds the decoded images as well."""
        files = [part for part in sets if isinstance(part, ImageFiles)]
        digests: dict[Path, int] = {}
        for part in files:
            own = part.digests()
            assert own is not None
            digests |= zip(part.paths, own.tolist(), strict=True)
        paths = sorted(digests)
        places = {path: place for place, path in enumerate(paths)}
        known = torch.tensor([digests[path] for path in paths])
        everything = ImageFiles(paths, None, digests=known, shorter_side=side, max_pixels=self.max_pixels, pixels=self.pixels)
        images = decode_once(everything, self.cache)
        decoded = []
        for part in files:
            decoded.append(images.take([places[path] for path in part.paths]))
            decoded[-1].labels = part.labels
        return decoded
