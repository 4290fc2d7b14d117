"""Checksums of files."""

import zlib
from typing import BinaryIO

BLOCK = 1 << 20


def crc32(file: BinaryIO, size: int | None = None) -> int:
    """Return the CRC-32 of the next `size` bytes of an open file; None: of all bytes up to its end.

    >>> import io
    >>> crc32(io.BytesIO(b"abc")) == crc32(io.BytesIO(b"abcd"), 3) == zlib.crc32(b"abc")
    True
    """
    checksum, done = 0, 0
    while block := file.read(BLOCK if size is None else min(BLOCK, size - done)):
        checksum = zlib.crc32(block, checksum)
        done += len(block)
    return checksum
