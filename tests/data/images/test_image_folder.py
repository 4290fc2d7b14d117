import logging

import pytest
import torch
from pictures import COLOURS, write_class_folders, write_flat_folder, write_image, write_text_named_jpg, write_truncated_jpeg

from acclimate.data.images.image_folder import ImageFolder
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import ImageSpec
from acclimate.types import Labelled, Needs, Unlabelled


def folders(**settings):
    return ImageFolder(**{key: str(value) if key in ("source", "target") else value for key, value in settings.items()})


def read(**settings):
    return folders(**settings).read()


def names(images, root):
    return {path.relative_to(root).as_posix() for path in images.paths}


@pytest.fixture
def source(tmp_path):
    return write_class_folders(tmp_path / "source")


def write_parts(root, *parts, **settings):
    for part in parts:
        write_class_folders(root / part, **settings)
    return root


def test_class_folders_are_divided_into_stratified_disjoint_parts(source):
    domains = read(source=source)
    assert domains.classes == ["cat", "dog"]
    assert domains.target is None
    parts = domains.source
    assert [part.labels.bincount().tolist() for part in parts] == [[6, 6], [2, 2], [2, 2]]
    assert len(set().union(*(names(part, source) for part in parts))) == 20


def test_labels_are_the_places_of_the_class_folders_in_the_alphabet(source):
    train = read(source=source).source.train
    for path, label in zip(train.paths, train.labels.tolist(), strict=True):
        assert path.parent.name == ["cat", "dog"][label]


def test_the_division_does_not_depend_on_where_the_folder_is_or_in_what_order_it_was_written(source, tmp_path):
    elsewhere = write_class_folders(tmp_path / "elsewhere" / "photos", classes=("dog", "cat"))
    here, there = read(source=source).source, read(source=elsewhere).source
    assert [names(part, source) for part in here] == [names(part, elsewhere) for part in there]
    assert [names(part, source) for part in read(source=source, split_seed=1).source] != [names(part, source) for part in here]


def test_folders_that_are_divided_already_are_taken_as_they_are(tmp_path):
    root = write_parts(tmp_path / "photos", "train", "val", "test", num_images=3)
    parts = read(source=root).source
    for part in ("train", "val", "test"):
        assert names(getattr(parts, part), root / part) == {f"{name}/{number}.png" for name in ("cat", "dog") for number in range(3)}


def test_a_source_without_test_has_no_test_part_and_a_target_gets_half_of_val(tmp_path, caplog):
    root = write_parts(tmp_path / "photos", "train", "val", num_images=6)
    with caplog.at_level(logging.WARNING):
        domains = read(source=root, target=root)
    assert domains.source.test is None
    assert [len(part) for part in domains.source[:2]] == [12, 12]
    assert [len(part) for part in domains.target] == [12, 6, 6]
    assert names(domains.target.val, root).isdisjoint(names(domains.target.test, root))
    assert "has no test part" in caplog.text


def test_without_val_a_part_of_train_selects_the_checkpoint(tmp_path):
    source = write_parts(tmp_path / "source", "train", "test")
    target = write_parts(tmp_path / "target", "train")
    domains = read(source=source, target=target)
    assert [len(part) for part in domains.source] == [16, 4, 20]
    assert [len(part) for part in domains.target] == [12, 4, 4]


def test_a_target_without_class_folders_is_unlabelled(source, tmp_path):
    target = read(source=source, target=write_flat_folder(tmp_path / "target")).target
    assert [len(part) for part in target] == [12, 4, 4]
    assert [part.labels for part in target] == [None] * 3


def test_a_target_may_be_unlabelled_in_training_and_labelled_in_testing(source, tmp_path):
    target = tmp_path / "target"
    write_flat_folder(target / "train")
    write_class_folders(target / "test", num_images=3)
    parts = read(source=source, target=target).target
    assert [part.labels is None for part in parts] == [True, True, False]
    assert [len(part) for part in parts] == [16, 4, 6]


def test_labels_of_the_target_reach_no_batch_but_those_of_the_test(source):
    data = folders(source=source, target=source, image_size=8, num_workers=0)
    data.prepare_for(spec=ImageSpec(8), needs=Needs(), reveal_target_labels=False)
    assert isinstance(next(iter(data.train_dataloader())).target, Unlabelled)
    kinds = [[type(batch) for batch in loader] for loader in (*data.val_dataloader(), *data.test_dataloader())]
    assert kinds == [[Labelled], [Unlabelled], [Labelled], [Labelled]]


def test_only_the_oracle_sees_labels_of_the_targets_validation_images(source):
    data = folders(source=source, target=source, image_size=8, num_workers=0)
    data.prepare_for(spec=ImageSpec(8), needs=Needs(), reveal_target_labels=True)
    assert isinstance(next(iter(data.train_dataloader())).target, Unlabelled)
    assert all(isinstance(batch, Labelled) for loader in data.val_dataloader() for batch in loader)


def test_images_and_labels_of_a_batch_belong_together(source):
    data = folders(source=source, image_size=8, source_view="plain", num_workers=0)
    data.prepare_for(spec=ImageSpec(8), needs=Needs(target=False), reveal_target_labels=False)
    batch = next(iter(data.train_dataloader())).source
    expected = torch.tensor([COLOURS["cat"], COLOURS["dog"]], dtype=torch.uint8)[batch.labels]
    assert torch.equal(batch.inputs[:, :, 4, 4], expected)


def test_classes_keep_only_the_folders_that_they_name(tmp_path):
    source = write_class_folders(tmp_path / "source", classes=("cat", "dog", "owl"))
    target = write_class_folders(tmp_path / "target", classes=("dog", "owl"))
    domains = read(source=source, target=target, classes=["owl", "dog"])
    assert domains.classes == ["owl", "dog"]
    train = domains.source.train
    assert [path.parent.name for path in train.paths] == [domains.classes[label] for label in train.labels]
    assert {path.parent.name for path in train.paths} == {"dog", "owl"}


def test_classes_may_be_numbers(tmp_path):
    for name in ("0", "1", "2"):
        for number in range(5):
            write_image(tmp_path / "digits" / name / f"{number}.png", number=number)
    assert read(source=tmp_path / "digits", classes=[0, 2]).classes == ["0", "2"]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "car", "train"):
        for number in range(5):
            write_image(tmp_path / "vehicles" / name / f"{number}.png", number=number)
    assert read(source=tmp_path / "vehicles").classes == ["bus", "car", "train"]


def test_folders_beside_train_that_are_no_parts_are_left_out_and_named(tmp_path, caplog):
    root = write_parts(tmp_path / "photos", "train", "val", "rejected")
    with caplog.at_level(logging.WARNING):
        assert read(source=root).classes == ["cat", "dog"]
    assert "not rejected" in caplog.text


def test_images_deeper_in_a_class_folder_belong_to_it(tmp_path):
    for name in ("cat", "dog"):
        for number in range(5):
            write_image(tmp_path / "photos" / name / f"camera{number % 2}" / f"{number}.png", number=number)
    with pytest.raises(DataError, match=r"hold the same folders: camera0, camera1.*domains or parts.*'data\.classes=\[cat,dog\]'"):
        read(source=tmp_path / "photos")
    assert read(source=tmp_path / "photos", classes=["cat", "dog"]).source.train.labels.bincount().tolist() == [3, 3]


def test_hidden_files_are_no_images(source):
    for name in (".DS_Store", "cat/.DS_Store", "cat/._0.png", "dog/Thumbs.db", ".git/config"):
        write_text_named_jpg(source / name)
    assert sum(len(part) for part in read(source=source).source) == 20


def test_bad_images_are_left_out_if_asked_for(source):
    write_truncated_jpeg(source / "cat" / "half.jpg")
    write_text_named_jpg(source / "dog" / "text.jpg")
    with pytest.raises(DataError, match=r"half\.jpg is not a whole image.*1 more file.*"):
        read(source=source)
    assert sum(len(part) for part in read(source=source, on_bad_image="skip").source) == 20


@pytest.mark.parametrize("part", ["source", "target"])
def test_a_missing_folder_is_named_with_its_key(source, tmp_path, part):
    settings = {"source": source, "target": source, part: tmp_path / "nowhere"}
    with pytest.raises(DataError, match=rf"data\.{part}={tmp_path}/nowhere is not a folder.*type data\.{part}=DIR"):
        read(**settings)


@pytest.mark.parametrize("part", ["source", "target"])
def test_an_empty_folder_is_named(source, tmp_path, part):
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=rf"{tmp_path}/empty contains no images.*CLASS/IMAGE\.jpg"):
        read(**{"source": source, "target": source, part: tmp_path / "empty"})


def test_a_source_with_one_class_is_refused(tmp_path):
    root = write_class_folders(tmp_path / "photos", classes=("cat",))
    with pytest.raises(DataError, match=r"photos has only the class folder cat\. A classifier needs at least two"):
        read(source=root)


@pytest.mark.parametrize("classes", [None, ["cat", "dog"]])
def test_a_source_without_class_folders_is_refused(tmp_path, classes):
    with pytest.raises(DataError, match=r"photos has images, but no class folders, and the source needs labels"):
        read(source=write_flat_folder(tmp_path / "photos"), classes=classes)


def test_a_source_with_an_unlabelled_part_is_refused(tmp_path):
    write_class_folders(tmp_path / "photos" / "train")
    write_flat_folder(tmp_path / "photos" / "val")
    with pytest.raises(DataError, match=r"photos/val has images, but no class folders"):
        read(source=tmp_path / "photos")


def test_differing_classes_are_named_with_the_key_that_keeps_the_shared_ones(tmp_path):
    source = write_class_folders(tmp_path / "source", classes=("cat", "dog", "owl"))
    target = write_class_folders(tmp_path / "target", classes=("cat", "dog"))
    with pytest.raises(DataError, match=r"source has the classes cat, dog, owl, but the source has cat, dog: it also has owl") as caught:
        read(source=target, target=source)
    assert "data.classes=[cat,dog]" in str(caught.value)
    for advised in ({"classes": ["cat", "dog"]}, {"unknown_classes": "drop"}):
        assert sum(map(len, read(source=target, target=source, **advised).target)) == 20
    assert [part.labels for part in read(source=target, target=source, unknown_classes="unlabelled").target] == [None] * 3


def test_a_target_may_lack_classes_which_is_said(tmp_path, caplog):
    source = write_class_folders(tmp_path / "source", classes=("cat", "dog", "owl"))
    target = write_class_folders(tmp_path / "target", classes=("cat", "owl"))
    (target / "dog").mkdir()
    for classes in (None, ["cat", "dog", "owl"]):
        domains = read(source=source, target=target, classes=classes)
        assert domains.classes == ["cat", "dog", "owl"]
        assert {label for part in domains.target for label in part.labels.tolist()} == {0, 2}
        assert "target has no images of dog" in caplog.text


def test_a_class_of_which_no_image_is_whole_is_missed(source, tmp_path, caplog):
    target = write_class_folders(tmp_path / "target", classes=("cat",))
    write_text_named_jpg(target / "dog" / "0.jpg")
    assert sum(map(len, read(source=source, target=target, on_bad_image="skip").target)) == 10
    assert "target has no images of dog" in caplog.text
    write_text_named_jpg(source / "owl" / "0.jpg")
    with pytest.raises(DataError, match=r"source has no images of owl.*'data\.classes=\[cat,dog\]'"):
        read(source=source, on_bad_image="skip")


def test_classes_that_are_not_there_are_named(source):
    with pytest.raises(DataError, match=r"source has no images of owl, which data\.classes names"):
        read(source=source, classes=["cat", "owl"])
    with pytest.raises(DataError, match=r"source has the classes cat, dog, but none of data\.classes=\[owl,emu\]"):
        read(source=source, classes=["owl", "emu"])


@pytest.mark.parametrize("classes", [["cat"], ["cat", "cat"], []])
def test_classes_must_be_two_at_least_and_different(source, classes):
    with pytest.raises(ConfigError, match=r"data\.classes=.*at least two classes, each once"):
        read(source=source, classes=classes)


def test_an_image_beside_class_folders_is_named(source):
    write_image(source / "stray.png")
    with pytest.raises(DataError, match=r"has class folders, but stray\.png is next to them"):
        read(source=source)


def test_a_folder_of_bad_images_only_says_so(tmp_path):
    for name in ("cat", "dog"):
        write_text_named_jpg(tmp_path / "photos" / name / "0.jpg")
    with pytest.raises(DataError, match="None of the 2 files is a complete image"):
        read(source=tmp_path / "photos", on_bad_image="skip")


def test_a_target_too_small_to_divide_is_refused(source, tmp_path):
    with pytest.raises(DataError, match=r"target has 2 samples, too few to divide into 3 parts"):
        read(source=source, target=write_flat_folder(tmp_path / "target", num_images=2))


@pytest.mark.parametrize("fractions", [{"val_fraction": 0.0}, {"test_fraction": -0.1}, {"val_fraction": 0.6, "test_fraction": 0.4}])
def test_fractions_that_leave_a_part_empty_are_refused(source, fractions):
    with pytest.raises(ConfigError, match=r"data\.val_fraction and data\.test_fraction must be above 0 with a sum below 1"):
        read(source=source, **fractions)


def labelled_target(tmp_path, target, **settings):
    data = folders(source=write_class_folders(tmp_path / "source"), target=target, batch_size=4, **settings)
    data.prepare_for(spec=ImageSpec(8), needs=Needs(), reveal_target_labels=False)
    return data


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_labels_of_a_few_target_images_may_train(tmp_path, cache):
    data = labelled_target(tmp_path, write_class_folders(tmp_path / "target"), target_labels_per_class=2, cache=cache)
    few = next(iter(data.train_dataloader())).target_labelled
    assert few.labels.bincount().tolist() == [2, 2]
    # The first of the colours is red and the second blue.
    reddest = (few.inputs.float().mean(dim=(2, 3)).argmax(dim=1) == 0).tolist()
    assert reddest == (few.labels == 0).tolist()


def test_labels_of_a_target_without_class_folders_cannot_train(tmp_path):
    with pytest.raises(ConfigError, match=r"target_labels_per_class=2 needs labelled samples .* training part has no labels"):
        labelled_target(tmp_path, write_flat_folder(tmp_path / "target"), target_labels_per_class=2)


def test_labels_of_no_target_cannot_train(tmp_path):
    data = folders(source=write_class_folders(tmp_path / "source"), target_labels_per_class=1)
    with pytest.raises(ConfigError, match=r"target_labels_per_class=1 needs labelled samples .* data\.target is null"):
        data.prepare_for(spec=ImageSpec(8), needs=Needs(target=False), reveal_target_labels=False)


def test_more_labels_than_the_target_has_are_refused(tmp_path):
    target = write_class_folders(tmp_path / "target")
    in_training = read(source=target, target=target).target.train.labels.bincount().tolist()
    assert sum(in_training) == 12
    with pytest.raises(ConfigError, match=r"has only {} of cat, {} of dog".format(*in_training)):
        labelled_target(tmp_path, target, target_labels_per_class=11)
