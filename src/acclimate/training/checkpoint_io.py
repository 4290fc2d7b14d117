"""Atomic checkpoints for Lightning."""

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO

from acclimate.runs import checkpoint_files


class ReplacingCheckpointIO(CheckpointIO):
    """Plug-in that replaces checkpoints atomically and reads the previous one if a file is damaged.

    Lightning writes to `$TMPDIR` first. If that is on another file system, it copies the file over the existing one, and a
    process that is killed meanwhile leaves a truncated file.

    A better checkpoint soon after the last one waits in memory, because a short epoch on precomputed features takes less time
    than writing it. It is written before any other checkpoint, so that `best.ckpt` is never older than what `last.ckpt` knows
    of it, and when training ends for whatever reason. On a GPU, where a copy would take memory from training, nothing waits.

    Args:
        is_fixed: Function that returns True for the names of weights that training never changes, which are not copied.
    """

    # Shortest pause between two versions of a file.
    SECONDS = 5.0

    def __init__(self, is_fixed: Callable[[str], bool] = lambda name: False) -> None:
        self._is_fixed = is_fixed
        self._written_at: dict[Path, float] = {}
        self._waiting: dict[Path, dict[str, Any]] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        if path.name == checkpoint_files.BEST and self._was_written_just_now(path) and _is_on_cpu(checkpoint):
            # Training will change its tensors.
            fixed = {id(tensor): tensor for name, tensor in checkpoint["state_dict"].items() if self._is_fixed(name)}
            self._waiting[path] = copy.deepcopy(checkpoint, fixed)
            return
        self._waiting.pop(path, None)
        self._write_waiting()
        self._write(checkpoint, path)

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        self._write_waiting()
        return checkpoint_files.load(Path(path))[0]

    def remove_checkpoint(self, path: str | Path) -> None:
        self._waiting.pop(Path(path), None)
        for file in (Path(path), checkpoint_files.previous(Path(path))):
            file.unlink(missing_ok=True)

    def teardown(self) -> None:
        # Lightning calls it at the end of training, also after an error or a signal.
        self._write_waiting()

    def _was_written_just_now(self, path: Path) -> bool:
        return path in self._written_at and time.monotonic() - self._written_at[path] < self.SECONDS

    def _write_waiting(self) -> None:
        while self._waiting:
            path, checkpoint = self._waiting.popitem()
            self._write(checkpoint, path)

    def _write(self, checkpoint: dict[str, Any], path: Path) -> None:
        checkpoint_files.save(checkpoint, path)
        self._written_at[path] = time.monotonic()


def _is_on_cpu(checkpoint: dict[str, Any]) -> bool:
    return all(tensor.device.type == "cpu" for tensor in checkpoint["state_dict"].values())
