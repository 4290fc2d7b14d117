"""Atomic writes: a reader finds the old contents or the new ones, never a part."""

import contextlib
import csv
import errno
import io
import json
import math
import os
import re
import secrets
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from acclimate.errors import StorageError
from acclimate.files.full_disk import explain
from acclimate.files.printable import csv_cell

if TYPE_CHECKING:
    from torch import Tensor

# Names of temporary files. They do not contain the final name, which may have the maximum length.
UNFINISHED = ".acclimate-{}.unfinished"
# Standard output and other open files by number.
DESCRIPTOR = re.compile(r"/dev/(?:std(?P<name>out|err)|fd/(?P<number>\d+))|/proc/self/fd/(?P<process>\d+)")


@contextmanager
def replacing(path: Path, *, previous: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` when the block ends without an error.

    The contents are written to a file with a random name in the same folder and synchronised to disk before it is renamed.
    Devices, pipes and open files such as `/dev/stdout` are written to directly. If `path` is a link, the file that it points
    to is replaced. Permissions are kept.

    Args:
        path: The file to replace; missing parent folders are created.
        previous: Path in the same folder under which to keep the replaced file; None: do not keep it.

    Raises:
        StorageError: If the file cannot be written, for example because the disk is full.
    """
    try:
        if direct := _open_directly(path):
            with direct:
                yield direct
            return
        # Keep a link of the user, and replace its destination.
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with _replaced(target, previous) as file:
            yield file
    except OSError as error:
        raise StorageError(explain(error, path)) from error


@contextmanager
def _replaced(path: Path, previous: Path | None) -> Iterator[BinaryIO]:
    there = path.stat() if path.exists() else None
    if there and stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if there and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    unfinished = path.with_name(UNFINISHED.format(secrets.token_hex(8)))
    # Fails if a file or a link of that name exists.
    file = unfinished.open("xb")
    try:
        with file:
            if there:
                # Do not fail if the owner cannot be changed.
                with contextlib.suppress(OSError):
                    os.fchown(file.fileno(), there.st_uid, there.st_gid)
                    os.fchmod(file.fileno(), stat.S_IMODE(there.st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        if there and previous is not None:
            _keep(path, previous)
        unfinished.replace(path)
        _synchronise(path.parent)
    finally:
        # It still exists only after an error.
        unfinished.unlink(missing_ok=True)


def _keep(path: Path, previous: Path) -> None:
    """Give a file a second name, so that the first one exists at all times."""
    previous.unlink(missing_ok=True)
    try:
        previous.hardlink_to(path)
    except OSError:
        # The file system has no hard links.
        path.replace(previous)


def _synchronise(folder: Path) -> None:
    """Synchronise the entries of a folder to disk, on systems where folders can be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _open_directly(path: Path) -> BinaryIO | None:
    """Open a device, a pipe or an open file; return None for a file, a folder, or a path that does not exist."""
    if match := DESCRIPTOR.fullmatch(str(path)):
        sys.stdout.flush()
        number = match["number"] or match["process"] or {"out": 1, "err": 2}[match["name"]]
        return os.fdopen(os.dup(int(number)), "wb")
    if not path.exists() or path.is_file() or path.is_dir():
        return None
    return path.open("wb")


def refuse_output(path: Path) -> None:
    """Check, before any work is done, that a file can be written.

    Raises:
        StorageError: If it is a folder, or it or its folder is not writable.
    """
    if DESCRIPTOR.fullmatch(str(path)):
        return
    if path.is_dir():
        advised = shlex.quote(f"out={path / 'FILE'}")
        raise StorageError(f"out={path} is a folder. Name a file in it: {advised}.")
    folder = next(folder for folder in Path(os.path.realpath(path)).parents if os.path.lexists(folder))
    if not folder.is_dir():
        raise StorageError(f"out={path}: {folder} is not a folder. Name a file in another folder: out=DIR/FILE.")
    locked = next((place for place in (path, folder) if place.exists() and not os.access(place, os.W_OK)), None)
    if locked is not None:
        raise StorageError(f"out={path}: you have no permission to write to {locked}. Name a file in another folder: out=DIR/FILE.")


def remove_unfinished(folder: Path) -> None:
    """Remove temporary files of killed processes below a folder; no other process may be writing there."""
    for path in folder.rglob(UNFINISHED.format("?" * 16)):
        path.unlink(missing_ok=True)


def write_json(path: Path, contents: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write strict JSON, with null for numbers that are not finite."""
    with replacing(path) as file:
        file.write((json.dumps(_strict(contents), indent=2, allow_nan=False) + "\n").encode())


def _strict(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _strict(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_strict(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def write_table(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write comma-separated values with the headings in the first row; see `csv_cell` for unusual text."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows(map(csv_cell, row) for row in rows)
    with replacing(path) as file:
        file.write(table.getvalue().encode())


def write_predictions(path: Path, probabilities: "Tensor") -> None:
    """Write class probabilities, shape (N, K), for the target's validation inputs in order, for ensembles of runs."""
    import numpy as np

    with replacing(path) as file:
        np.savez_compressed(file, probabilities=probabilities.numpy())
