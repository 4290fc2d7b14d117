"""Digests of what samples hold: equal for exact copies, whatever they are called and wherever they lie."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from acclimate.errors import DataError

# Files up to this many bytes are read whole; of larger ones, as many bytes in blocks from the first to the last.
MAX_BYTES = 2**16
NUM_BLOCKS = 8


def digest_arrays(samples: Tensor) -> Tensor:
    """Digests of the rows of a tensor, int64, shape (N,).

    Args:
        samples: uint8, shape (N, ...).
    """
    kind = str(tuple(samples.shape[1:])).encode()
    return torch.tensor([_number(kind, row.tobytes()) for row in samples.contiguous().numpy()], dtype=torch.int64)


def digest_files(paths: Sequence[Path]) -> Tensor:
    """Digests of files, int64, shape (N,).

    A large file is known by its size and eight blocks that are spread over it. Compressed images that differ do so in all
    blocks; uncompressed ones of one size could in theory be taken for copies if they are equal in every block.

    Raises:
        DataError: If a file cannot be read.
    """
    return torch.tensor([_digest_file(path) for path in paths], dtype=torch.int64)


def _digest_file(path: Path) -> int:
    try:
        return _digest_contents(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give yourself the right to read it, remove it, or leave such files out with "
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
