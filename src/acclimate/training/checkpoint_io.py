"""Atomic checkpoints for Lightning."""

from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO

from acclimate.runs import checkpoint_files


class ReplacingCheckpointIO(CheckpointIO):
    """Plug-in that replaces checkpoints atomically and reads the previous one if a file is damaged.

    Lightning writes to `$TMPDIR` first. If that is on another file system, it copies the file over the existing one, and a
    process that is killed meanwhile leaves a truncated file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        checkpoint_files.save(checkpoint, Path(path))

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return checkpoint_files.load(Path(path))[0]

    def remove_checkpoint(self, path: str | Path) -> None:
        for file in (Path(path), checkpoint_files.previous(Path(path))):
            file.unlink(missing_ok=True)
