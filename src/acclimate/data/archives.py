"""Safe reading of untrusted NumPy archives: their headers are compared with their contents before memory is allocated."""

import math
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from acclimate.errors import DataError

# No real data is compressed to less than a hundredth, and arrays that are small in memory do no harm.
MAX_UNPACKED_RATIO, ALWAYS_UNPACKED = 100, 2**26


def array_names(path: Path) -> list[str]:
    """Return the names of all arrays in an archive.

    Raises:
        DataError: If the file is not an archive.
    """
    with _opened(path) as archive:
        return sorted(member.filename.removesuffix(".npy") for member in archive.infolist() if member.filename.endswith(".npy"))


def read_arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Read the arrays of the given names that an archive has, after checking their headers.

    Raises:
        DataError: If the file is not an archive of arrays, or an array contradicts its header, contains Python objects, or is
            very much larger in memory than in the file.
    """
    arrays = {}
    with _opened(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name not in names or member.filename == name:
                continue
            _refuse_bomb(path, member)
            with archive.open(member) as file:
                _refuse_false_header(name, file, member)
            with archive.open(member) as file:
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
        if not arrays:
            found = ", ".join(sorted(member.filename.removesuffix(".npy") for member in archive.infolist())[:9])
            raise DataError(f"{path} has the arrays {found or '(none)'}, but no {' or '.join(names)}.")
    return arrays


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (
        ValueError,
        OSError,
        EOFError,
        SyntaxError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(
            f"{path} cannot be read as a .npz archive: {error}. Write it with numpy.savez(FILE, x_train=..., y_train=..., ...)."
        ) from error


def _refuse_bomb(path: Path, member: zipfile.ZipInfo) -> None:
    if member.file_size > max(MAX_UNPACKED_RATIO * member.compress_size, ALWAYS_UNPACKED):
        raise DataError(
            f"{path}: {member.filename} takes {member.compress_size} bytes in the file and {member.file_size} in memory, more than "
            f"{MAX_UNPACKED_RATIO} times as many. If it is yours, write it without compression: numpy.savez(FILE, x_train=..., ...)."
        )


def _refuse_false_header(name: str, file: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Compare the header of an array with the size of its contents, because NumPy allocates memory by the header alone.

    Raises:
        ValueError: If they differ, or the array has more rows than its size allows.
    """
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"{name} has the unknown version {version}")
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError(f"{name} contains Python objects, which are not read; text can be written as {name}.astype(str)")
    stated, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
    if stated != held or 0 in shape[1:]:
        raise ValueError(f"{name} states the shape {shape}, {stated} bytes, but contains {held} bytes")
