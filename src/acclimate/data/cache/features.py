"""Features of a frozen backbone, computed once for all epochs and runs."""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, nn

from acclimate.data.cache import store
from acclimate.data.cache.store import CacheUnavailable, ensure_fits, key_of
from acclimate.data.kind import View
from acclimate.data.samples import Samples
from acclimate.inputs import move
from acclimate.types import Unlabelled

log = logging.getLogger(__name__)


class FrozenBackbone:
    """A frozen backbone with its cached features.

    Args:
        backbone: The backbone, in evaluation mode.
        cache: `disk` caches features for all later runs, `ram` for this run.
    """

    def __init__(self, backbone: nn.Module, cache: Literal["ram", "disk"]) -> None:
        self.backbone = backbone
        self.cache = cache
        # Together with the samples, so that their id stays unique.
        self._known: dict[str, tuple[Samples, Tensor]] = {}

    def features(
        self,
        samples: Samples,
        batches: Iterable[Unlabelled],
        *,
        view: View,
        precision: Callable[[], AbstractContextManager[Any]],
        conditions: object,
        about: str,
    ) -> Tensor:
        """Return the features of all samples, cached or computed, shape (N, D), with N rows for each of several fixed views.

        Args:
            samples: The samples.
            batches: All samples in order in one view, repeated for each fixed view.
            view: The view.
            precision: Function that returns the context manager of a forward pass.
            conditions: Everything else that the features depend on, such as the batch size and the precision.
            about: Description for `acclimate cache`.
        """
        origin = samples.fingerprint()
        key = key_of(origin or id(samples), self._fingerprint(view), conditions)
        if key not in self._known:
            found = self._find(f"features of {about}", key if origin else None, lambda: self._compute(batches, precision))
            self._known[key] = samples, found
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
                log.warning("Features are cached in memory only. %s", reason)
        return computed[0] if computed else compute()

    def _compute(self, batches: Iterable[Unlabelled], precision: Callable[[], AbstractContextManager[Any]]) -> Tensor:
        device = next(chain(self.backbone.parameters(), self.backbone.buffers()), torch.empty(0)).device
        with torch.no_grad(), precision():
            return torch.cat([self.backbone(move(batch.inputs, device)).cpu() for batch in batches])

    def _fingerprint(self, view: View) -> str:
        """Return a hash of weights, architecture and device, and of the code of the view and of this module."""
        digest = hashlib.blake2b()
        for name, tensor in self.backbone.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.device.type}".encode())
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
        layers = {Path(sys.modules[type(module).__module__].__file__ or "") for module in self.backbone.modules()}
        for file in sorted(layers.union(view.code())):
            digest.update(file.read_bytes())
        return key_of(digest.hexdigest(), repr(self.backbone), torch.__version__, torchvision.__version__)


def write(folder: Path, features: Tensor) -> None:
    """Write features, shape (N, D)."""
    ensure_fits(features.nbytes)
    with (folder / "features").open("wb") as file:
        file.write(features.contiguous().view(torch.uint8).numpy().data)
    # An empty tensor records the dtype and the width.
    torch.save(features[:0].clone(), folder / "kind.pt")


def read(folder: Path) -> Tensor:
    """Map features, shape (N, D), into memory, which processes share."""
    kind: Tensor = torch.load(folder / "kind.pt", weights_only=True)
    size = (folder / "features").stat().st_size // kind.element_size()
    return torch.from_file(str(folder / "features"), shared=False, size=size, dtype=kind.dtype).view(-1, kind.shape[1])
