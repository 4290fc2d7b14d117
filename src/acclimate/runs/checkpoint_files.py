"""Checkpoint files: replaced atomically, protected by a checksum, with the previous checkpoint kept next to them."""

import io
import logging
import os
import re
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from acclimate.errors import ConfigError, first_line
from acclimate.files.atomic_files import replacing
from acclimate.files.checksums import crc32
from acclimate.runs.nearby import suggest_run

log = logging.getLogger(__name__)

BEST, LAST = "best.ckpt", "last.ckpt"
# torch writes zip archives, which may end with a comment. Ours is the CRC-32 of everything before its last 8 characters.
COMMENT = b"acclimate crc32 %08x"
COMMENT_PATTERN = re.compile(rb"acclimate crc32 ([0-9a-f]{8})")
COMMENT_LENGTH = len(COMMENT % 0)
# Endings of other files in the folder of a run.
OTHER_FILES = (".json", ".csv", ".log", ".yaml", ".png")
ADVICE = "Give the folder of a finished run: outputs/DATE/TIME-METHOD."


class DamagedCheckpointError(Exception):
    """A file whose contents are not the checkpoint that was written; the message gives the reason."""


def best_checkpoint(folder: Path) -> Path:
    """Return the path of a run's selected checkpoint."""
    return folder / "checkpoints" / BEST


def selected_checkpoint(run: str | os.PathLike[str]) -> Path:
    """Return the selected checkpoint of a run's folder, or the path itself if it is a file.

    Raises:
        ConfigError: If there is no checkpoint.
    """
    place = Path(run)
    path = place if place.is_file() else best_checkpoint(place)
    if path.suffix in OTHER_FILES or not exists(path):
        problem = f"{path} is not a checkpoint" if place.is_file() else f"There is no {path}"
        raise ConfigError(f"{problem}. {ADVICE}{suggest_run(place)}")
    return path


def last_checkpoint(folder: Path) -> Path:
    """Return the path of the checkpoint that a stopped run continues from."""
    return folder / "checkpoints" / LAST


def previous(path: Path) -> Path:
    """Return the path of the checkpoint that the one in this file replaced.

    >>> previous(Path("checkpoints/last.ckpt")).name
    'last.ckpt.previous'
    """
    return path.with_name(f"{path.name}.previous")


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint that `torch.load` can read.

    Raises:
        StorageError: If it cannot be written. An existing file is left unchanged.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    contents = buffer.getbuffer()
    # The last two bytes of an archive without a comment are the length of the comment.
    contents[-2:] = COMMENT_LENGTH.to_bytes(2, "little")
    beginning = (COMMENT % 0)[:-8]
    checksum = zlib.crc32(beginning, zlib.crc32(contents))
    with replacing(path, previous=previous(path)) as file:
        file.write(contents)
        file.write(COMMENT % checksum)


def load(path: Path) -> tuple[dict[str, Any], Path]:
    """Read a checkpoint, or the previous one if the file is damaged or missing.

    Returns:
        The checkpoint, on the CPU, and the path of its file.

    Raises:
        ConfigError: If neither can be read.
    """
    refuse_missing(path)
    problems = []
    for file in (path, previous(path)):
        if not os.path.lexists(file):
            continue
        try:
            checkpoint = _read(file)
        except DamagedCheckpointError as error:
            problems.append(f"{file} cannot be read as a checkpoint: {error}.")
            continue
        if file != path:
            _warn(" ".join([*problems, f"Continuing with the previous checkpoint, {file}, of step {checkpoint.get('global_step')}."]))
        return checkpoint, file
    raise ConfigError(" ".join([*problems, "Restore the file from a copy, or train again into another folder: hydra.run.dir=DIR."]))


def refuse_missing(path: Path) -> None:
    """Check, without importing torch, that there is a checkpoint to read.

    Raises:
        ConfigError: If neither this checkpoint nor the previous one exists.
    """
    if not exists(path):
        raise ConfigError(f"There is no {path}. {ADVICE}")


def exists(path: Path) -> bool:
    """Return True if this checkpoint or the previous one exists, readable or not."""
    return os.path.lexists(path) or os.path.lexists(previous(path))


# Cached, because resuming reads a file more than once.
@cache
def _warn(message: str) -> None:
    log.warning("%s", message)


def _read(path: Path) -> dict[str, Any]:
    # Imported here, so that a missing file is reported without waiting for torch.
    import torch

    from acclimate.runs.checkpoint_contents import find_problem

    try:
        if not path.is_file():
            raise DamagedCheckpointError("it is not a file")
        with path.open("rb") as file:
            _verify(file)
            checkpoint: Any = torch.load(file, map_location="cpu", weights_only=True)
    except DamagedCheckpointError:
        raise
    except OSError as error:
        raise DamagedCheckpointError(error.strerror or str(error)) from error
    # The bytes of a foreign file can make the reader raise anything.
    except Exception as error:
        raise DamagedCheckpointError(first_line(error)) from error
    if not isinstance(checkpoint, dict) or "config" not in checkpoint:
        raise DamagedCheckpointError("it was not written by acclimate train, because it contains no configuration")
    if problem := find_problem(checkpoint, path.stat().st_size):
        raise DamagedCheckpointError(problem)
    return checkpoint


def _verify(file: BinaryIO) -> None:
    """Compare a file with its checksum, and rewind it."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        raise DamagedCheckpointError("it is empty")
    file.seek(max(size - COMMENT_LENGTH, 0))
    comment = COMMENT_PATTERN.fullmatch(file.read())
    file.seek(0)
    if comment is None:
        # Truncated, foreign, or written by plain torch.save, which stores a checksum per tensor but does not verify it.
        _verify_members(file)
    elif crc32(file, size - 8) != int(comment[1], 16):
        raise DamagedCheckpointError("its contents do not match its checksum")
    file.seek(0)


def _verify_members(file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = "its end" if archive.comment else archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DamagedCheckpointError("it is truncated, or was not written by acclimate train") from error
    if damaged is not None:
        raise DamagedCheckpointError(f"its contents do not match its checksum ({damaged})")
