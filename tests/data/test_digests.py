"""Digests are functions of what a file or a row holds."""

import pytest
import torch

from acclimate.data.digests import MAX_BYTES, digest_arrays, digest_files
from acclimate.errors import DataError


@pytest.mark.parametrize("size", [0, 1, MAX_BYTES - 1, MAX_BYTES, MAX_BYTES + 1, 10 * MAX_BYTES])
def test_copies_have_the_digest_of_the_file_under_any_name(tmp_path, size):
    contents = torch.randint(256, (size,), dtype=torch.uint8).numpy().tobytes()
    others = {"copy": contents, "longer": contents + b"1", "first": b"1" + contents[1:], "last": contents[:-1] + b"1"}
    paths = [tmp_path / name for name in ("one", *others)]
    for path, written in zip(paths, [contents, *others.values()], strict=True):
        path.write_bytes(written)
    one, copy, *rest = digest_files(paths).tolist()
    assert one == copy
    assert one not in [digest for path, digest in zip(paths[2:], rest, strict=True) if path.read_bytes() != contents]


def test_a_block_in_the_middle_of_a_large_file_counts(tmp_path):
    contents = bytearray(8 * MAX_BYTES)
    (tmp_path / "one").write_bytes(contents)
    middle = 3 * (len(contents) - MAX_BYTES // 8) // 7
    contents[middle : middle + 10] = b"0123456789"
    (tmp_path / "other").write_bytes(contents)
    one, other = digest_files([tmp_path / "one", tmp_path / "other"]).tolist()
    assert one != other


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.png cannot be read: No such file.*data\.on_bad_image=skip"):
        digest_files([tmp_path / "nowhere.png"])


def test_rows_of_other_shapes_differ():
    rows = torch.arange(48, dtype=torch.uint8)
    flat, square = digest_arrays(rows.view(1, 3, 16)), digest_arrays(rows.view(1, 3, 4, 4))
    assert not torch.equal(flat, square)
