import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_class_folders, write_image, write_text_named_jpg, write_truncated_jpeg
from PIL import Image
from small_runs import compose, trained_state

from acclimate.data.cache import store
from acclimate.data.images.decoded_images import decode_once
from acclimate.data.images.decoding import decode
from acclimate.data.images.image_files import ImageFiles
from acclimate.data.images.image_folder import ImageFolder
from acclimate.data.images.views import ImageView
from acclimate.data.loaders import EvaluationBatches, batch_loader
from acclimate.errors import DataError
from acclimate.inference import prediction
from acclimate.inputs import ImageSpec
from acclimate.runs import checkpoints
from acclimate.training import run
from acclimate.types import Needs

SIDE = 16


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "cache"))


def write_noise(path, height, width, *, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def files(tmp_path):
    """Images that are smaller, larger and much larger than they are kept, upright and wide."""
    sizes = [(9, 31), (16, 16), (40, 25), (25, 40), (200, 90), (64, 300)]
    paths = [
        write_noise(tmp_path / "photos" / f"{place}.{kind}", *size, seed=place)
        for place, size in enumerate(sizes)
        for kind in ("png", "jpg")
    ]
    return ImageFiles(paths, torch.arange(len(paths)), shorter_side=SIDE)


def assert_equal_images(found, expected):
    assert len(found) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_images_from_the_cache_are_those_of_the_files(files, kind):
    everything = range(len(files))
    expected = files.load(everything)
    for decoded in (decode_once(files, kind), decode_once(files, kind)):
        assert len(decoded) == len(files)
        assert_equal_images(decoded.load(everything), expected)
        part = decoded.take([7, 2, 5])
        assert_equal_images(part.load([2, 0]), files.load([5, 7]))
        assert part.labels.tolist() == [7, 2, 5]


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_files_are_decoded_once(files, kind, monkeypatch):
    decoded = decode_once(files, kind)
    monkeypatch.setattr("acclimate.data.images.decoding.Image.open", None)
    decoded.load(range(len(files)))
    if kind == "disk":
        decode_once(files, kind).load([0])


def test_without_a_cache_the_files_stay_files(files):
    assert decode_once(files, "none") is files


@pytest.mark.parametrize("change", ["contents", "size of the images", "another file"])
def test_what_changes_the_images_is_another_entry(files, change):
    decode_once(files, "disk")
    if change == "contents":
        # As long as before, and written at another time.
        stat = files.paths[0].stat()
        os.utime(files.paths[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    if change == "size of the images":
        files.shorter_side = SIDE + 1
    if change == "another file":
        files = files.take(range(1, len(files)))
    assert_equal_images(decode_once(files, "disk").load(range(len(files))), files.load(range(len(files))))
    assert len(store.entries()) == 2


def test_large_images_are_reduced_and_small_ones_kept_as_they_are(files):
    shapes = [tuple(image.shape[1:]) for image in files.load(range(0, len(files), 2))]
    assert shapes == [(9, 31), (16, 16), (25, 16), (16, 25), (35, 16), (16, 75)]


def test_a_jpeg_that_is_not_decoded_in_full_looks_the_same(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 400).astype(np.uint8)[:, None, None], (1, 320, 3))
    Image.fromarray(ramp).save(tmp_path / "ramp.jpg", quality=95)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    jpeg, png = (decode(tmp_path / f"ramp.{kind}", 32).int() for kind in ("jpg", "png"))
    assert jpeg.shape == png.shape == (3, 40, 32)
    assert (jpeg - png).abs().max() <= 4


def test_a_set_can_be_sent_to_another_process(files):
    decoded = decode_once(files, "disk")
    assert_equal_images(pickle.loads(pickle.dumps(decoded)).load([3, 4]), decoded.load([3, 4]))


def test_images_can_be_read_after_the_cache_was_cleared(files):
    decoded = decode_once(files, "disk")
    expected = files.load([1])
    store.clear()
    assert_equal_images(decoded.load([1]), expected)


def test_without_room_the_files_are_used_and_the_reason_is_logged(files, monkeypatch, caplog):
    monkeypatch.setenv("ACCLIMATE_CACHE_GB", "1e-6")
    with caplog.at_level(logging.WARNING):
        assert decode_once(files, "disk") is files
    assert "ACCLIMATE_CACHE_GB" in caplog.text
    assert store.entries() == []


def flip(file, place=-1):
    contents = bytearray(file.read_bytes())
    contents[place] ^= 1
    file.write_bytes(contents)


def fill_with_zeros(file):
    file.write_bytes(bytes(file.stat().st_size))


def cut_by_one(file):
    os.truncate(file, file.stat().st_size - 1)


@pytest.mark.parametrize("damage", [flip, fill_with_zeros, cut_by_one])
@pytest.mark.parametrize("when", ["before it is opened", "while it is open"])
def test_damaged_pixels_are_decoded_anew_and_so_is_the_entry(files, damage, when, caplog):
    everything = range(len(files))
    decoded = decode_once(files, "disk")
    (entry,) = store.entries()
    damage(entry.folder / "pixels")
    with caplog.at_level(logging.WARNING):
        if when == "before it is opened":
            decoded = decode_once(files, "disk")
        assert_equal_images(decoded.load(everything), files.load(everything))
        assert_equal_images(decode_once(files, "disk").load(everything), files.load(everything))
    assert "damaged" in caplog.text
    caplog.clear()
    (entry,) = store.entries()
    assert_equal_images(decode_once(files, "disk").load(everything), files.load(everything))
    assert caplog.text == ""


@pytest.mark.parametrize("kind", ["none", "ram", "disk"])
def test_bad_files_are_found_before_the_training(tmp_path, kind):
    write_class_folders(tmp_path / "source")
    write_truncated_jpeg(tmp_path / "source" / "cat" / "half.jpg")
    write_text_named_jpg(tmp_path / "source" / "dog" / "text.jpg")
    with pytest.raises(DataError, match=r"half\.jpg is not a whole image.*1 more file"):
        prepared(tmp_path, cache=kind)
    data = prepared(tmp_path, cache=kind, on_bad_image="skip")
    assert sum(len(part) for part in data.domains.source) == 20
    assert all(entry.about.startswith("20 images") for entry in store.entries())


def prepared(root: Path, **settings):
    data = ImageFolder(source=str(root / "source"), image_size=SIDE, batch_size=4, **{"num_workers": 0, **settings})
    data.prepare_for(spec=ImageSpec(SIDE), needs=Needs(target=False), reveal_target_labels=False)
    return data


def test_all_divisions_of_a_folder_share_an_entry(tmp_path):
    write_class_folders(tmp_path / "source")
    for seed in (0, 1):
        prepared(tmp_path, cache="disk", split_seed=seed)
    assert len(store.entries()) == 1


@pytest.mark.parametrize("kind", ["none", "ram", "disk"])
def test_evaluation_sees_what_it_would_see_of_all_pixels(tmp_path, kind):
    for name in ("cat", "dog"):
        for number in range(5):
            write_noise(tmp_path / "source" / name / f"{number}.png", 30 + 7 * number, 50, seed=number)
    data = prepared(tmp_path, cache=kind, crop=0.8)
    val = ImageFolder(source=str(tmp_path / "source")).domains.source.val
    seen = ImageView("plain", image_size=SIDE, crop=0.8).look([decode(path) for path in val.paths], [])
    assert torch.equal(next(iter(data.val_dataloader()[0])).inputs, seen)


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_a_run_with_a_cache_is_the_run_without(tmp_path, kind):
    for domain in ("source", "target"):
        for name in ("cat", "dog"):
            for number in range(10):
                write_noise(tmp_path / domain / name / f"{number}.jpg", 30 + number, 50 - number, seed=number)
    folders = ["data=image_folder", f"data.source={tmp_path / 'source'}", f"data.target={tmp_path / 'target'}", "model.weights=null"]
    states, metrics = [], []
    # With the cache empty, and with what the run before has put there.
    for name, how in (("without", "none"), ("first", kind), ("second", kind)):
        config = compose(tmp_path / name, *folders, "trainer.max_epochs=2", f"data.cache={how}", "data.num_workers=0")
        metrics.append({key: value for key, value in run.train(config).items() if not key.startswith("train/s")})
        states.append(trained_state(tmp_path / name)["state_dict"])
    assert metrics[0] == metrics[1] == metrics[2]
    for state in states[1:]:
        assert all(torch.equal(value, state[name]) for name, value in states[0].items())


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_workers_read_the_same_images(files, kind):
    def epoch(images, num_workers):
        batches = EvaluationBatches(images, ImageView("plain", image_size=SIDE), batch_size=3, labelled=True)
        return torch.cat([batch.inputs for batch in batch_loader(batches, num_workers=num_workers)])

    assert torch.equal(epoch(decode_once(files, kind), 2), epoch(files, 0))


@pytest.mark.parametrize(
    ("kind", "view", "training", "evaluation"), [("none", "plain", 2, 2), ("disk", "plain", 0, 0), ("ram", "shift", 2, 0)]
)
def test_processes_start_only_where_images_are_decoded_or_augmented(tmp_path, kind, view, training, evaluation):
    write_class_folders(tmp_path / "source")
    data = prepared(tmp_path, cache=kind, source_view=view, num_workers=2)
    assert data.train_dataloader()._loader.num_workers == training
    assert [loader.num_workers for loader in data.val_dataloader()] == [evaluation]


def test_a_predicted_image_is_seen_as_in_evaluation(tmp_path):
    write_class_folders(tmp_path / "source")
    write_noise(tmp_path / "images" / "0.jpg", 200, 90)
    folders = ["data=image_folder", f"data.source={tmp_path / 'source'}", "method=source_only", "data.target=null"]
    config = compose(tmp_path / "run", *folders, "trainer.max_epochs=1", "data.num_workers=0")
    run.train(config)
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path / "run"))
    (row,) = prediction.predict(checkpoint, tmp_path / "images")
    data = ImageFolder(source=str(tmp_path / "source"), target=str(tmp_path / "images"), crop=config["data"]["crop"])
    image = decode_once(ImageFiles([tmp_path / "images" / "0.jpg"], None, shorter_side=round(SIDE / data.crop)), "disk").load([0])
    view = data.kind_for(ImageSpec(SIDE)).view("plain")
    probabilities = checkpoints.rebuild_classifier(checkpoint)(view.look(image, [])).logits.softmax(dim=1)
    assert row.confidence == pytest.approx(probabilities.max().item(), abs=1e-6)


def test_one_image_has_a_folder_too(tmp_path):
    files = ImageFiles([write_image(tmp_path / "only.png")], None, shorter_side=SIDE)
    assert_equal_images(decode_once(files, "disk").load([0]), files.load([0]))


def test_seeds_that_choose_other_labelled_images_share_what_is_decoded(tmp_path):
    for name in ("cat", "dog"):
        for number in range(10):
            write_noise(tmp_path / "source" / name / f"{number}.png", 30, 50, seed=number)
    for seed in range(2):
        data = prepared(tmp_path, cache="disk", source_labels_per_class=2, seed=seed)
        assert len(data.domains.source.train) == 4
    assert len(store.entries()) == 1
