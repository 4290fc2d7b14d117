import numpy as np
import pytest
import torch

from acclimate.data.images.arrays import Arrays
from acclimate.errors import DataError
from acclimate.inputs import ImageSpec
from acclimate.types import Needs


def arrays(*, num_train=20, num_test=6, shape=(8, 8), num_classes=2, **changed):
    """The four arrays of an archive; each image says in all of its pixels which one it is."""
    found = {}
    for part, number in (("train", num_train), ("test", num_test)):
        found[f"x_{part}"] = np.broadcast_to(np.arange(number, dtype=np.uint8).reshape(-1, *[1] * len(shape)), (number, *shape)).copy()
        found[f"y_{part}"] = np.arange(number) % num_classes
    return {name: array for name, array in (found | changed).items() if array is not None}


@pytest.fixture
def write(tmp_path):
    def write_archive(name="source", **settings):
        np.savez(tmp_path / f"{name}.npz", **arrays(**settings))
        return str(tmp_path / f"{name}.npz")

    return write_archive


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3)])
def test_greyscale_and_colour_images_become_three_channels_first(write, shape):
    train = Arrays(source=write(shape=shape)).read().source.train
    images = train.load([0, 1])
    assert images.shape == (2, 3, 8, 9)
    assert images.dtype == torch.uint8


def test_channels_keep_their_order(write):
    colour = np.zeros((20, 8, 8, 3), dtype=np.uint8)
    colour[..., 2] = 99
    # Copies would all be in one part.
    colour[:, 0, 0, 0] = np.arange(20)
    image = Arrays(source=write(x_train=colour)).read().source.train.load([0])
    assert image[0, :, 4, 4].tolist() == [0, 0, 99]


def test_training_images_are_divided_and_test_images_are_not(write):
    domains = Arrays(source=write(), target=write("target", num_train=30, num_test=5), val_fraction=0.2).read()
    assert domains.classes == ["0", "1"]
    assert [len(part) for part in domains.source] == [16, 4, 6]
    assert [len(part) for part in domains.target] == [24, 6, 5]
    assert domains.source.val.labels.bincount().tolist() == [2, 2]
    seen = [set(part.images[:, 0, 0, 0].tolist()) for part in domains.source[:2]]
    assert seen[0].isdisjoint(seen[1])
    assert seen[0] | seen[1] == set(range(20))


def test_labels_stay_with_their_images(write):
    for part in Arrays(source=write(num_classes=3)).read().source:
        assert torch.equal(part.images[:, 0, 0, 0] % 3, part.labels)


def test_the_division_does_not_depend_on_the_order_of_the_rows(write):
    contents = arrays(num_train=30)
    order = np.random.default_rng(0).permutation(30)
    moved = contents | {"x_train": contents["x_train"][order], "y_train": contents["y_train"][order]}
    here, there = (Arrays(source=write(**one), target=write("target", **one)).read() for one in (contents, moved))
    for domain in (1, 2):
        for one, other in zip(here[domain], there[domain], strict=True):
            assert set(one.images[:, 0, 0, 0].tolist()) == set(other.images[:, 0, 0, 0].tolist())


def test_the_targets_division_does_not_look_at_its_labels(write):
    labelled = Arrays(source=write(), target=write("labelled")).read().target
    permuted = Arrays(source=write(), target=write("permuted", y_train=np.arange(20) // 10)).read().target
    unlabelled = Arrays(source=write(), target=write("unlabelled", y_train=None, y_test=None)).read().target
    for part in range(3):
        assert torch.equal(labelled[part].images, permuted[part].images)
        assert torch.equal(labelled[part].images, unlabelled[part].images)
    assert [part.labels for part in unlabelled] == [None] * 3


def test_a_target_may_have_labels_in_its_test_part_only(write):
    target = Arrays(source=write(), target=write("target", y_train=None)).read().target
    assert [part.labels is None for part in target] == [True, True, False]


def test_a_class_without_a_training_image_in_between_is_kept(write):
    assert Arrays(source=write(y_train=np.arange(20) % 2 * 2)).read().classes == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_train": np.zeros((20, 8, 8), dtype=np.float32)}, r"x_train of .*source\.npz has the shape \(20, 8, 8\) and the type float32"),
        ({"x_test": np.zeros((6, 8, 8, 4), dtype=np.uint8)}, r"x_test of .* has the shape \(6, 8, 8, 4\).*\(N, H, W, 3\)"),
        ({"x_train": np.zeros((20, 64), dtype=np.uint8)}, r"has the shape \(20, 64\)"),
        ({"x_train": np.zeros((0, 8, 8), dtype=np.uint8)}, r"has the shape \(0, 8, 8\).*at least one"),
        ({"x_train": np.zeros((), dtype=np.uint8)}, r"has the shape \(\)"),
        ({"y_train": np.zeros(19, dtype=int)}, r"y_train of .* has the shape \(19,\).*one for each of the 20 images"),
        ({"y_train": np.zeros((20, 2), dtype=int)}, r"y_train of .* has the shape \(20, 2\)"),
        ({"y_train": np.linspace(0, 1, 20)}, r"y_train of .* the type float64.*whole numbers from 0"),
        ({"y_test": np.full(6, -1)}, r"y_test of .*the smallest value -1.*whole numbers from 0"),
        ({"x_test": None}, r"has the arrays x_train, y_test, y_train, but no x_test"),
        ({"y_train": None}, r"has no y_train, but the source needs labels"),
        ({"y_test": None}, r"has no y_test, but the source needs labels"),
        ({"y_train": np.zeros(20, dtype=int)}, r"has only the class 0 in y_train"),
        ({"y_test": np.full(6, 7)}, r"has the label 7 in y_test, but the source has classes 0 to 1"),
        ({"x_train": np.array([{}] * 20)}, r"cannot be read as a \.npz archive"),
    ],
)
def test_wrong_arrays_are_named_with_what_is_allowed(write, changed, message):
    with pytest.raises(DataError, match=message):
        Arrays(source=write(**changed)).read()


def test_a_target_label_that_the_source_does_not_know_is_refused(write):
    with pytest.raises(DataError, match=r"target\.npz has the label 2 in y_test"):
        Arrays(source=write(), target=write("target", num_classes=3)).read()


@pytest.mark.parametrize("contents", [b"", b"not an archive", b"PK\x03\x04 broken"])
def test_a_file_that_is_not_an_archive_is_named_with_how_to_write_one(tmp_path, contents):
    (tmp_path / "source.npz").write_bytes(contents)
    with pytest.raises(DataError, match=r"source\.npz cannot be read as a \.npz archive: .*numpy\.savez"):
        Arrays(source=str(tmp_path / "source.npz")).read()


def test_a_truncated_archive_is_named(write, tmp_path):
    whole = (tmp_path / write()).read_bytes()
    (tmp_path / "source.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"source\.npz cannot be read as a \.npz archive"):
        Arrays(source=str(tmp_path / "source.npz")).read()


def test_a_single_array_is_not_an_archive(tmp_path):
    np.save(tmp_path / "source.npy", np.zeros((3, 8, 8), dtype=np.uint8))
    with pytest.raises(DataError, match=r"source\.npy cannot be read as a \.npz archive"):
        Arrays(source=str(tmp_path / "source.npy")).read()


def test_a_missing_archive_is_named_in_full(tmp_path):
    with pytest.raises(DataError, match=rf"There is no file {tmp_path}/nowhere\.npz.*\.npz files"):
        Arrays(source=str(tmp_path / "nowhere.npz")).read()


def test_a_target_too_small_to_divide_is_refused(write):
    with pytest.raises(DataError, match=r"x_train of .*target\.npz has 1 samples, too few"):
        Arrays(source=write(), target=write("target", num_train=1)).read()


def test_balanced_sampling_trains_on_all_classes_equally_often(write):
    rare = np.array([0] * 15 + [1] * 5)
    data = Arrays(source=write(y_train=rare), target=write("target", num_classes=1), batch_size=6, source_sampling="balanced")
    data.prepare_for(spec=ImageSpec(8), needs=Needs(), reveal_target_labels=False)
    for batch in data.train_dataloader():
        assert batch.source.labels.bincount().tolist() == [3, 3]
        # Each image says in its pixels which one it is.
        assert torch.equal((batch.source.inputs[:, 0, 0, 0] >= 15).long(), batch.source.labels)
