import logging

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


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.arange(20) % 2 * 4 + 3, ["3", "7"]),
        (np.arange(20) % 10 + 1, [str(number) for number in range(1, 11)]),
        (np.arange(20, dtype=np.uint8) % 2 * 255, ["0", "255"]),
        (np.arange(20) % 2 * 2 - 1, ["-1", "1"]),
        (np.arange(20) % 2 * 2**40, ["0", str(2**40)]),
        (np.arange(20, dtype=np.uint64) % 2 * np.uint64(2**64 - 1), ["0", str(2**64 - 1)]),
        (np.array(["owl", "ant"] * 10), ["ant", "owl"]),
        (np.array([b"owl", b"ant"] * 10), ["ant", "owl"]),
        (np.array(["Ka\u0308fer", "K\u00e4fer", "ant", "ant"] * 5), ["Käfer", "ant"]),
        (np.array(["10", "9"] * 10), ["9", "10"]),
        (np.arange(20) % 2 == 0, ["False", "True"]),
        (np.arange(20.0) % 2, ["0", "1"]),
        ((np.arange(20) % 3).reshape(-1, 1), ["0", "1", "2"]),
        (np.eye(3)[np.arange(20) % 3], ["0", "1", "2"]),
        (np.eye(4, dtype=bool)[np.arange(20) % 2 * 3], ["0", "3"]),
    ],
)
def test_the_classes_are_the_labels_that_occur(write, labels, classes):
    domains = Arrays(source=write(y_train=labels, y_test=labels[:6])).read()
    assert sorted(domains.classes) == sorted(classes)
    assert [classes[label] for label in domains.source.test.labels] == [domains.classes[label] for label in domains.source.test.labels]
    flat = labels.argmax(axis=1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.reshape(-1)
    for part in domains.source:
        rows = part.images[:, 0, 0, 0].tolist()
        assert len({(flat[row], domains.classes[label]) for row, label in zip(rows, part.labels, strict=True)}) <= len(np.unique(flat))


def test_labels_of_the_target_are_matched_by_name(write):
    names = np.array(["owl", "ant", "bee"])
    source = write(y_train=names[np.arange(20) % 3], y_test=names[np.arange(6) % 3])
    target = Arrays(source=source, target=write("target", y_train=names[np.arange(20) % 2 + 1], y_test=names[np.arange(6) % 2 + 1])).read()
    assert target.classes == ["ant", "bee", "owl"]
    assert target.target.test.labels.tolist() == [0, 1] * 3


def test_a_target_without_some_classes_is_accepted_and_it_is_said(write, caplog):
    with caplog.at_level(logging.INFO, logger="acclimate"):
        target = Arrays(source=write(num_classes=3), target=write("target", num_classes=2)).read().target
    assert target.test.labels.tolist() == [0, 1] * 3
    assert "target.npz has no samples of 2." in caplog.text


def test_samples_of_unknown_classes_are_left_out_as_the_message_says(write, caplog):
    source, target = write(), write("target", num_classes=3)
    with pytest.raises(
        DataError, match=r"target\.npz has the classes 2 besides those to tell apart, which are 0, 1\. Type data\.unknown_classes=drop"
    ):
        Arrays(source=source, target=target).read()
    found = Arrays(source=source, target=target, unknown_classes="drop").read().target
    assert "left out 8 samples of the classes 2" in caplog.text
    assert [len(part) for part in found] == [13, 1, 4]
    for part in found:
        assert torch.equal(part.images[:, 0, 0, 0] % 3, part.labels)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ({"x_train": "train_images", "y_train": "train_labels", "x_test": "test_images", "y_test": "test_labels"}, [18, 2, 6]),
        ({"x_train": "X_train", "y_train": "Y_train", "x_test": "X_test", "y_test": "Y_test"}, [18, 2, 6]),
        ({"x_train": "trainX", "y_train": "trainY", "x_test": "testX", "y_test": "testY"}, [18, 2, 6]),
        ({"x_test": "x_val", "y_test": "y_val"}, [20, 6, None]),
        ({"x_test": "x_valid", "y_test": "y_valid"}, [20, 6, None]),
        ({"x_test": "x_holdout", "y_test": "y_holdout"}, [18, 2, 6]),
        ({"x_train": "data", "y_train": "target", "x_test": None, "y_test": None}, [14, 2, 4]),
        ({"x_train": "x", "y_train": "y", "x_test": None, "y_test": None}, [14, 2, 4]),
        ({"x_test": None, "y_test": None}, [18, 2, None]),
    ],
)
def test_usual_names_of_arrays_are_understood(tmp_path, names, parts):
    contents = {names.get(name, name): array for name, array in arrays().items()}
    np.savez(tmp_path / "source.npz", about=np.zeros(3), **{name: array for name, array in contents.items() if name is not None})
    source = Arrays(source=str(tmp_path / "source.npz")).read().source
    assert [part and len(part) for part in source] == parts
    for part in source:
        assert part is None or torch.equal(part.images[:, 0, 0, 0] % 2, part.labels)


def test_all_three_parts_may_be_given(write):
    validation = arrays(num_train=5)
    source = Arrays(source=write(x_val=validation["x_train"], y_val=validation["y_train"])).read().source
    assert [len(part) for part in source] == [20, 5, 6]


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1 / 255), (np.float64, 1 / 255), (np.float16, 1 / 255)])
def test_floats_from_0_to_1_are_the_images_that_they_came_from(write, dtype, scale):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    pixels[0, 0, 0] = 255
    plain = Arrays(source=write(x_train=pixels)).read().source
    scaled = Arrays(source=write(x_train=(pixels * scale).clip(0, 1).astype(dtype))).read().source
    assert torch.equal(plain.train.images, scaled.train.images)


@pytest.mark.parametrize("shape", [(1, 8, 9), (3, 8, 9)])
def test_channels_may_come_first(write, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    first = Arrays(source=write(x_train=pixels)).read().source.train
    last = Arrays(source=write(x_train=np.moveaxis(pixels, 1, -1))).read().source.train
    assert torch.equal(first.images, last.images)


def test_the_axes_are_asked_for_where_they_are_not_certain(write):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 3), dtype=np.uint8)
    source = write(x_train=pixels)
    with pytest.raises(DataError, match=r"Type data\.axes=NHWC if they come last, or data\.axes=NCHW"):
        Arrays(source=source).read()
    sizes = {axes: Arrays(source=source, axes=axes).read().source.train.images.shape[1:] for axes in ("NHWC", "NCHW")}
    assert sizes == {"NHWC": (3, 3, 8), "NCHW": (3, 8, 3)}


def test_one_channel_is_grey(write):
    data = Arrays(source=write(), channels=1)
    assert data.read().source.train.load([0]).shape == (1, 1, 8, 8)


def test_messages_name_images_by_their_rows(write):
    train = Arrays(source=write()).read().source.train
    number = int(train.images[3, 0, 0, 0])
    assert train.name(3) == f"row {number} of x_train of {write()}"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_train": np.zeros((20, 8, 8), dtype=np.int64)}, r"x_train of .*source\.npz has the shape \(20, 8, 8\) and the type int64"),
        ({"x_train": np.arange(20.0).repeat(64).reshape(20, 8, 8)}, r"float64, and values from 0 to 19.*x\.astype\('uint8'\)"),
        ({"x_train": np.full((20, 8, 8), -0.5)}, r"values from -0\.5 to -0\.5.*floats from 0 to 1"),
        ({"x_train": np.full((20, 8, 8), np.nan)}, r"values that are not finite.*nan_to_num"),
        ({"x_train": np.full((20, 8, 8), "a")}, r"type <U1\. Images must be uint8"),
        ({"x_test": np.zeros((6, 8, 8, 5), dtype=np.uint8)}, r"x_test of .* has the shape \(6, 8, 8, 5\).*\(N, H, W, 3\)"),
        ({"x_train": np.zeros((20, 64), dtype=np.uint8)}, r"has the shape \(20, 64\).*data=vectors"),
        ({"x_train": np.zeros((0, 8, 8), dtype=np.uint8)}, r"has the shape \(0, 8, 8\).*at least one"),
        ({"x_train": np.zeros((), dtype=np.uint8)}, r"has the shape \(\)"),
        ({"y_train": np.arange(19)}, r"y_train of .* has the shape \(19,\).*for each of the 20 images"),
        ({"y_train": np.zeros((20, 2), dtype=int)}, r"y_train of .* has the shape \(20, 2\).*one-hot"),
        ({"y_train": np.linspace(0, 1, 20)}, r"y_train of .* has the label 0\.05.*whole numbers"),
        ({"y_train": np.where(np.arange(20) < 3, np.nan, 1)}, r"3 of the 20 labels of y_train .* are missing"),
        ({"y_train": np.array(["a", ""] * 10)}, r"10 of the 20 labels of y_train .* are missing"),
        ({"y_train": np.arange(20).astype("datetime64[D]")}, r"y_train of .* has the type datetime64"),
        ({"y_train": np.array(["a", "b"] * 10, dtype=object)}, r"cannot be read .*y_train\.astype\(str\)"),
        ({"y_test": np.full(6, -1)}, r"source\.npz has the classes -1 besides those to tell apart, which are 0, 1"),
        ({"x_test": None}, r"has the arrays x_train, y_test, y_train, but no x_test"),
        ({"x_train": None, "y_train": None}, r"has the arrays x_test, y_test, but no x_train"),
        ({"y_train": None}, r"has no y_train, but the source needs labels"),
        ({"y_test": None}, r"has no y_test, but the source needs labels"),
        ({"y_train": np.zeros(20, dtype=int)}, r"has only the class 0 in x_train"),
        ({"y_test": np.full(6, 7)}, r"has the classes 7 besides those to tell apart, which are 0, 1"),
        ({"x_train": np.array([{}] * 20)}, r"cannot be read as a \.npz archive"),
        ({"x": np.zeros((20, 8, 8), dtype=np.uint8)}, r"x belongs to no part, but there are parts"),
        (
            {"x_train": None, "X_train": arrays()["x_train"], "train_images": arrays()["x_train"]},
            r"X_train and train_images, which may both be x_train",
        ),
    ],
)
def test_wrong_arrays_are_named_with_what_is_allowed(write, changed, message):
    with pytest.raises(DataError, match=message):
        Arrays(source=write(**changed)).read()


def test_a_target_label_that_the_source_does_not_know_is_refused(write):
    with pytest.raises(DataError, match=r"target\.npz has the classes 2 besides"):
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
    with pytest.raises(DataError, match=r"The training part of .*target\.npz has 1 samples, too few"):
        Arrays(source=write(), target=write("target", num_train=1)).read()


def test_balanced_sampling_trains_on_all_classes_equally_often(write):
    rare = np.array([0] * 15 + [1] * 5)
    data = Arrays(source=write(y_train=rare), target=write("target", num_classes=1), batch_size=6, source_sampling="balanced")
    data.prepare_for(spec=ImageSpec(8), needs=Needs(), reveal_target_labels=False)
    for batch in data.train_dataloader():
        assert batch.source.labels.bincount().tolist() == [3, 3]
        # Each image says in its pixels which one it is.
        assert torch.equal((batch.source.inputs[:, 0, 0, 0] >= 15).long(), batch.source.labels)
