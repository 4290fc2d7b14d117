"""Folders of images as people have them."""

import unicodedata

import pytest
from pictures import write_class_folders, write_flat_folder, write_image

from acclimate.data.images.image_folder import ImageFolder
from acclimate.errors import DataError


def read(source, target=None, class_order=None, **settings):
    data = ImageFolder(source=str(source), target=target and str(target), **settings)
    data.class_order = class_order
    return data.domains


def sizes(parts):
    return [0 if part is None else len(part) for part in parts]


@pytest.fixture
def source(tmp_path):
    return write_class_folders(tmp_path / "source")


@pytest.mark.parametrize(
    "names",
    [
        ("Training", "Validation", "Testing"),
        ("train", "valid", "test"),
        ("TRAIN", "dev", "holdout"),
        ("training_set", "val-images", "test_data"),
        ("images_train", "development", "eval"),
    ],
)
def test_parts_have_their_usual_names_in_any_case(names, tmp_path):
    for name, number in zip(names, (5, 4, 3), strict=True):
        write_class_folders(tmp_path / name, num_images=number)
    domains = read(tmp_path)
    assert domains.classes == ["cat", "dog"]
    assert sizes(domains.source) == [10, 8, 6]


def test_two_names_of_one_part_are_refused(tmp_path):
    for name in ("train", "valid", "dev"):
        write_class_folders(tmp_path / name)
    with pytest.raises(DataError, match=r"has dev/ and valid/, which are names of the same part"):
        read(tmp_path)


def test_parts_without_one_to_train_on_are_refused(tmp_path, source):
    for name in ("val", "test"):
        write_class_folders(tmp_path / "away" / name)
    with pytest.raises(DataError, match=rf"has test/ and val/, but no train/.*data\.target={tmp_path}/away/test"):
        read(source, tmp_path / "away")
    assert sum(sizes(read(source, tmp_path / "away" / "test").target)) == 20


@pytest.mark.parametrize("outer", [("day", "night"), ("cat", "dog")])
def test_class_folders_that_hold_the_same_folders_are_refused(outer, tmp_path):
    for name in outer:
        write_class_folders(tmp_path / name, classes=("cat", "owl"))
    with pytest.raises(DataError, match=r"hold the same folders: cat, owl.*2 domains or parts, each with the classes cat, owl"):
        read(tmp_path)
    assert read(tmp_path / outer[0], tmp_path / outer[1]).classes == ["cat", "owl"]
    assert read(tmp_path, classes=list(outer)).classes == list(outer)


def test_parts_within_classes_are_refused(tmp_path):
    for name in ("cat", "dog"):
        for part in ("train", "test"):
            write_flat_folder(tmp_path / name / part, num_images=3)
    with pytest.raises(DataError, match="a division into parts within each class"):
        read(tmp_path)


def test_class_folders_that_hold_only_folders_are_refused(tmp_path):
    for name in ("cat/patient1", "cat/patient2", "dog/patient3"):
        write_flat_folder(tmp_path / name, num_images=5)
    with pytest.raises(DataError, match=r"hold only folders: patient1, patient2, patient3.*groups of classes"):
        read(tmp_path)
    write_image(tmp_path / "cat" / "1.png")
    assert read(tmp_path).classes == ["cat", "dog"]


def test_the_same_folder_in_each_class_beside_images_is_refused(source):
    for name in ("cat", "dog"):
        write_image(source / name / "thumbs" / "0.png")
    with pytest.raises(DataError, match="hold the same folders: thumbs"):
        read(source)


def test_a_folder_around_the_class_folders_is_found(tmp_path, source):
    inner = write_class_folders(tmp_path / "unpacked" / "photos")
    with pytest.raises(DataError, match=rf"only the class folder photos.*data\.source={inner}"):
        read(inner.parent)
    with pytest.raises(DataError, match=rf"has the classes photos.*data\.target={inner}"):
        read(source, inner.parent)


def test_a_class_called_train_whose_folders_look_like_those_of_others_is_asked_for(tmp_path):
    for name in ("bus", "train"):
        for camera in ("left", "right"):
            write_flat_folder(tmp_path / name / camera, num_images=5)
    with pytest.raises(DataError, match=r"'data\.classes=\[bus,train\]'"):
        read(tmp_path)
    assert read(tmp_path, classes=["bus", "train"]).classes == ["bus", "train"]


def test_an_empty_class_of_the_source_is_named(source):
    (source / "owl").mkdir()
    (source / "owl" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"source has no images of owl.*'data\.classes=\[cat,dog\]'"):
        read(source)
    assert read(source, classes=["cat", "dog"]).classes == ["cat", "dog"]


def test_a_class_that_only_the_validation_has_is_named(tmp_path):
    write_class_folders(tmp_path / "train")
    write_class_folders(tmp_path / "val", classes=("cat", "dog", "owl"))
    with pytest.raises(DataError, match="train has no images of owl"):
        read(tmp_path)


def test_a_validation_part_may_lack_a_class(tmp_path, caplog):
    write_class_folders(tmp_path / "train")
    write_class_folders(tmp_path / "val", classes=("cat",))
    assert sizes(read(tmp_path).source) == [20, 10, 0]
    assert "val has no images of dog" in caplog.text


LITTER = (
    "cat/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg",
    "cat/.ipynb_checkpoints/0-checkpoint.png",
    "__MACOSX/cat/._0.png",
    "$RECYCLE.BIN/1.png",
    "#recycle/1.png",
    "System Volume Information/1.png",
    "cat/Thumbs.db",
    "dog/DESKTOP.INI",
    "dog/.DS_Store",
    "dog/._0.png",
)
OTHERS = ("classes.txt", "labels.csv", "README", "cat/notes.json", "cat/0.xml", "dog/model.h5", "dog/film.mpg")


def test_what_programs_leave_behind_and_files_that_are_no_images_are_left_out_and_said(source, caplog):
    for name in (*LITTER, *OTHERS):
        write_image(source / "copy.png").rename(source / "moved")
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / "moved").rename(source / name)
    for name in OTHERS:
        (source / name).write_text("Python, BMW and P1 are words.")
    domains = read(source)
    assert domains.classes == ["cat", "dog"]
    assert sum(sizes(domains.source)) == 20
    (said,) = [record.getMessage() for record in caplog.records if "Left out" in record.getMessage()]
    for name in ("1 in or called @eaDir/", "Thumbs.db", "__MACOSX/", "7 that are no images (README, cat/0.xml, cat/notes.json, …)"):
        assert name in said


def test_files_that_are_images_by_their_contents_alone_are_found(source):
    (source / "cat" / "0.png").rename(source / "cat" / "0")
    (source / "cat" / "1.png").rename(source / "cat" / "1.dat")
    assert sum(sizes(read(source).source)) == 20


def test_a_missing_destination_of_a_link_is_a_bad_image(source):
    (source / "cat" / "lost.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"lost\.png"):
        read(source)
    assert sum(sizes(read(source, on_bad_image="skip").source)) == 20


def test_images_beside_class_folders_can_be_left_out_without_moving_them(source, tmp_path):
    write_image(source / "overview.png")
    with pytest.raises(DataError, match=r"overview\.png is next to them.*'data\.classes=\[cat,dog\]'"):
        read(source)
    target = source
    assert sum(sizes(read(source, classes=["cat", "dog"]).source)) == 20
    plain = write_class_folders(tmp_path / "plain")
    with pytest.raises(DataError, match=r"data\.unknown_classes=unlabelled"):
        read(plain, target)
    assert [part.labels for part in read(plain, target, unknown_classes="unlabelled").target] == [None] * 3


def test_accents_composed_or_not_are_the_same_class(tmp_path):
    for domain, form in (("source", "NFC"), ("target", "NFD")):
        for name in ("Käfer", "Möwe"):
            write_flat_folder(tmp_path / domain / unicodedata.normalize(form, name), num_images=5)
    domains = read(tmp_path / "source", tmp_path / "target", classes=[unicodedata.normalize("NFD", "Käfer"), "Möwe"])
    assert domains.classes == [unicodedata.normalize("NFC", name) for name in ("Käfer", "Möwe")]


def test_names_that_differ_in_case_can_be_renamed_as_advised(tmp_path, source):
    target = tmp_path / "target"
    for old, new in (("cat", "Cat"), ("dog", "DOG")):
        write_class_folders(target, classes=(old,))
        (target / old).rename(target / new)
    with pytest.raises(DataError, match=r"type 'data\.rename=\{Cat:cat,DOG:dog\}'"):
        read(source, target)
    for rename in ({"Cat": "cat", "DOG": "dog"}, [["Cat", "cat"], ["DOG", "dog"]]):
        assert sum(sizes(read(source, target, rename=rename).target)) == 20
    with pytest.raises(DataError, match=r"the model knows.*type 'data\.rename=\{Cat:cat,DOG:dog\}'"):
        read(target, class_order=["cat", "dog"])
    assert read(target, class_order=["cat", "dog"], rename={"Cat": "cat", "DOG": "dog"}).classes == ["cat", "dog"]


def test_the_order_of_the_classes_is_that_of_the_model(source):
    domains = read(source, source, class_order=["dog", "cat"])
    assert domains.classes == ["dog", "cat"]
    train = domains.source.train
    assert [domains.classes[label] for label in train.labels] == [path.parent.name for path in train.paths]
