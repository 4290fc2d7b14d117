"""Digests of the contents of samples, which are equal for exact copies, whatever their names and folders."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from acclimate.errors import DataError

# Files up to this size in bytes are read completely; of larger ones, the same number of bytes in blocks from start to end.
MAX_BYTES = 2**16
NUM_BLOCKS = 8


def digest_arrays(samples: Tensor) -> Tensor:
    """Compute digests of the rows of a tensor, int64, shape (N,).

    Args:
        samples: uint8, shape (N, ...).
    """
    kind = str(tuple(samples.shape[1:])).encode()
    return torch.tensor([_number(kind, row.tobytes()) for row in samples.contiguous().numpy()], dtype=torch.int64)


def fingerprint(samples: Tensor) -> str:
    """Return a hash of a whole tensor of samples, for `Samples.fingerprint`."""
    kind = str(tuple(samples.shape)).encode()
    return hashlib.blake2b(samples.contiguous().numpy().data, person=kind[:16]).hexdigest()


def digest_files(paths: Sequence[Path]) -> Tensor:
    """Compute digests of files, int64, shape (N,).

    A large file is identified by its size and eight blocks spread over it. Different compressed images differ in all blocks;
    uncompressed ones of the same size could in theory be mistaken for copies if they are equal in every block.

    Raises:
        DataError: If a file cannot be read.
    """
    return torch.tensor([_digest_file(path) for path in paths], dtype=torch.int64)


def _digest_file(path: Path) -> int:
    try:
        return _digest_contents(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Get the permission to read it, remove it, or leave such files out with "
            "data.on_bad_image=skip."
        ) from error


def _digest_contents(path: Path) -> int:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= MAX_BYTES:
            return _number(str(size).encode(), file.read())
        block = MAX_BYTES // NUM_BLOCKS
        blocks = []
        for place in range(NUM_BLOCKS):
            file.seek((size - block) * place // (NUM_BLOCKS - 1))
            blocks.append(file.read(block))
        return _number(str(size).encode(), b"".join(blocks))


def _number(kind: bytes, contents: bytes) -> int:
    digest = hashlib.blake2b(contents, digest_size=8, person=kind[:16]).digest()
    return int.from_bytes(digest, "big", signed=True)
