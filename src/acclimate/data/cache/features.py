"""Features of a backbone that does not change, computed once for all epochs and runs."""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torchvision
from torch import Tensor, nn

from acclimate.data.cache import store
from acclimate.data.cache.store import CacheUnavailable, ensure_fits, key_of
from acclimate.data.domains import ImageSet
from acclimate.data.images.rand_augment import apply_changes
from acclimate.data.images.views import View
from acclimate.types import Unlabelled

log = logging.getLogger(__name__)


class Features(ImageSet):
    """What a backbone makes of images, in their place.

    Args:
        features: Shape (N, D).
        labels: int64, shape (N,), or None.
    """

    def __init__(self, features: Tensor, labels: Tensor | None) -> None:
        self.features = features
        self.labels = labels

    def __len__(self) -> int:
        return len(self.features)

    def load(self, indices: Sequence[int]) -> Tensor:
        return self.features[torch.as_tensor(indices)]

    def take(self, indices: Sequence[int]) -> Self:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return type(self)(self.features[chosen], None if self.labels is None else self.labels[chosen])


class FrozenBackbone:
    """A backbone that stays as it is, with the features that it has computed.

    Args:
        backbone: In evaluation mode.
        cache: `disk` keeps features for all runs to come, `ram` for this one.
    """

    def __init__(self, backbone: nn.Module, cache: Literal["ram", "disk"]) -> None:
        self.backbone = backbone
        self.cache = cache
        # With the images, whose id no others can have as long as they are there.
        self._known: dict[str, tuple[ImageSet, Tensor]] = {}

    def features(
        self,
        images: ImageSet,
        batches: Iterable[Unlabelled],
        *,
        precision: Callable[[], AbstractContextManager[Any]],
        conditions: object,
        about: str,
    ) -> Tensor:
        """The features of all images, computed now or earlier, shape (N, D), or as many times N as there are fixed views.

        Args:
            images: What they stand for.
            batches: All images in order, in one view, perhaps several times.
            precision: The context that a forward pass is made in.
            conditions: All else that they depend on, such as the view, the size of the batches and the precision.
            about: What `acclimate cache` says they are of.
        """
        origin = images.fingerprint()
        key = key_of(origin or id(images), self._fingerprint(), conditions)
        if key not in self._known:
            found = self._find(f"features of {about}", key if origin else None, lambda: self._compute(batches, precision))
            self._known[key] = images, found
        return self._known[key][1]

    def _find(self, about: str, key: str | None, compute: Callable[[], Tensor]) -> Tensor:
        computed: list[Tensor] = []

        def fill(folder: Path) -> None:
            log.info("Computing once, for all runs: %s", about)
            computed.append(compute())
            write(folder, computed[0])

        if self.cache == "disk" and key is not None:
            try:
                return store.cached("features", key, fill=fill, read=read, about=about)
            except CacheUnavailable as reason:
                log.warning("Features are kept in memory alone. %s", reason)
        return computed[0] if computed else compute()

    def _compute(self, batches: Iterable[Unlabelled], precision: Callable[[], AbstractContextManager[Any]]) -> Tensor:
        device = next(self.backbone.buffers()).device
        with torch.no_grad(), precision():
            return torch.cat([self.backbone(batch.views[0].to(device, non_blocking=True)).cpu() for batch in batches])

    def _fingerprint(self) -> str:
        """Of weights, architecture and device, and of the code that makes and takes a view."""
        digest = hashlib.blake2b()
        for name, tensor in self.backbone.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.device.type}".encode())
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
        code = {View, apply_changes, *(type(module) for module in self.backbone.modules())}
        for file in sorted({sys.modules[part.__module__].__file__ or "" for part in code}):
            digest.update(Path(file).read_bytes())
        return key_of(digest.hexdigest(), repr(self.backbone), torch.__version__, torchvision.__version__)


def write(folder: Path, features: Tensor) -> None:
    """Writes features, shape (N, D)."""
    ensure_fits(features.nbytes)
    with (folder / "features").open("wb") as file:
        file.write(features.contiguous().view(torch.uint8).numpy().data)
    # No row of them says what type and width they have.
    torch.save(features[:0].clone(), folder / "kind.pt")


def read(folder: Path) -> Tensor:
    """The features, shape (N, D), mapped into memory, where other processes share them."""
    kind: Tensor = torch.load(folder / "kind.pt", weights_only=True)
    size = (folder / "features").stat().st_size // kind.element_size()
    return torch.from_file(str(folder / "features"), shared=False, size=size, dtype=kind.dtype).view(-1, kind.shape[1])
