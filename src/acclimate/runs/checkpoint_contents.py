"""Check of the contents of untrusted checkpoints."""

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor


def find_problem(checkpoint: dict[str, Any], size: int) -> str | None:
    """Return a problem that no checkpoint of a run has, or None: tensors beyond the file, or paths that Lightning would remove.

    Args:
        checkpoint: The checkpoint as read by torch, with tensors whose memory has not been accessed yet.
        size: Size of the file in bytes.
    """
    storages: dict[int, int] = {}
    for value in _values(checkpoint):
        if type(value) not in (Tensor, torch.nn.Parameter):
            continue
        if value.layout is not torch.strided or value.device.type != "cpu":
            return "it contains a tensor without values"
        storage = value.untyped_storage()
        storages[storage._cdata] = storage.nbytes()
        if value.numel() * value.element_size() > storage.nbytes():
            return f"it contains a tensor of the shape {tuple(value.shape)} with fewer values"
    if sum(storages.values()) > size:
        return "it contains tensors that are larger than the file"
    for value in _values(checkpoint.get("callbacks")):
        if isinstance(value, str) and (".." in PurePath(value).parts or "://" in value):
            return f"it names a file elsewhere, {value[:80]}"
    classes = checkpoint.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        return "its classes are not names"
    return None


def _values(node: object) -> Iterator[Any]:
    """Yield all keys and values in nested containers; each container once, because they may contain each other."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list | tuple | set):
            if id(value) not in seen:
                seen.add(id(value))
                waiting.extend(value)
                waiting.extend(value.values() if isinstance(value, dict) else ())
        else:
            yield value
