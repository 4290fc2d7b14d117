"""Archives that are small on the disk and huge in memory, or are not what they say."""

import io
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from acclimate.data.archives import read_arrays
from acclimate.data.images.arrays import Arrays
from acclimate.errors import DataError


def header(shape, dtype="|u1"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def write(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in members.items():
            archive.writestr(f"{name}.npy", contents)
    return path


ARRAYS = {
    "a shape beyond what it holds": (header((10**9, 1000, 1000)) + b"0" * 99, "states the shape"),
    "rows of nothing": (header((10**12, 0, 3)), "states the shape"),
    "a type of huge items": (header((1,), f"|V{2**30}") + b"0", "states the shape"),
    "a negative shape": (header((-5, 4, 4)) + b"0" * 80, "cannot be read"),
    "zeros by the hundred million": (header((10**8, 1, 1)) + bytes(10**8), "more than 100 times as many"),
    "Python objects": (header((1,), "|O") + pickle.dumps([1]), "contains Python objects"),
    "something else": (b"nonsense", "cannot be read"),
    "a header of code": (header((1,)).replace(b"{'descr': '|u1'", b"{'descr': os.ab"), "cannot be read"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_is_not_what_it_says_takes_no_memory(name, tmp_path):
    contents, message = ARRAYS[name]
    path = write(tmp_path / "bomb.npz", x_train=contents)
    del contents
    tracemalloc.start()
    with pytest.raises(DataError, match=message):
        read_arrays(path, ("x_train",))
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def test_arrays_that_nobody_asks_for_are_left_alone(tmp_path):
    good = header((2, 3, 3)) + bytes(18)
    path = write(tmp_path / "more.npz", x_train=good, other=ARRAYS["zeros by the hundred million"][0])
    assert read_arrays(path, ("x_train", "y_train"))["x_train"].shape == (2, 3, 3)


def test_what_compresses_well_and_is_the_user_s_is_read_as_the_message_says(tmp_path):
    images = np.zeros((30_000, 64, 64), dtype=np.uint8)
    np.savez_compressed(tmp_path / "small.npz", x_train=images)
    with pytest.raises(DataError, match=r"write it without compression: numpy.savez"):
        read_arrays(tmp_path / "small.npz", ("x_train",))
    np.savez(tmp_path / "large.npz", x_train=images)
    assert read_arrays(tmp_path / "large.npz", ("x_train",))["x_train"].shape == images.shape


@pytest.mark.parametrize(("label", "dtype"), [(10**9, np.int64), (2**63 + 1, np.uint64), (60, np.uint8)])
def test_a_large_label_makes_one_class(label, dtype, tmp_path):
    labels = np.array([0, label] * 30, dtype=dtype)
    images = np.arange(60, dtype=np.uint8).repeat(64).reshape(60, 8, 8)
    np.savez(tmp_path / "source.npz", x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2])
    assert Arrays(source=str(tmp_path / "source.npz")).read().classes == ["0", str(label)]
