"""The same picture in another size, format or compression is found, and another picture is not."""

import io
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import compose

from acclimate.config.identity import identity
from acclimate.data.images.image_arrays import ImageArrays
from acclimate.data.images.near_copies import group_near_copies, thumbnails
from acclimate.training import assembly


def photograph(seed):
    """An image with structure in all sizes, uint8, shape (96, 120, 3)."""
    random = np.random.default_rng(seed)
    layers = [Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)).resize((120, 96)) for size in (2, 4, 8)]
    return np.mean(layers, axis=0).round().astype(np.uint8)


def compressed(pixels, name="JPEG", quality=50):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name, quality=quality)
    return np.array(Image.open(file).convert("RGB"))


def brighter(pixels):
    return (pixels * 1.1).clip(0, 255).astype(np.uint8)


def smaller(pixels):
    return np.array(Image.fromarray(pixels).resize((60, 48)))


class Loose(ImageArrays):
    """Images of several sizes."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.labels = None

    def __len__(self):
        return len(self.arrays)

    def load(self, indices):
        return [torch.from_numpy(self.arrays[index]).permute(2, 0, 1) for index in indices]


@pytest.mark.parametrize("change", [compressed, brighter, smaller, lambda pixels: compressed(pixels, "WEBP", 60), lambda pixels: pixels])
def test_a_changed_picture_is_in_the_group_of_its_original(change):
    originals = [photograph(seed) for seed in range(300)]
    groups = group_near_copies(thumbnails(Loose([*originals, *map(change, originals[:40])])))
    assert torch.equal(groups[300:], groups[:40])
    assert len(groups[:300].unique()) == 300


def test_flat_pictures_are_no_copies_of_each_other():
    flat = [np.full((20, 20, 3), level, dtype=np.uint8) for level in (0, 0, 40, 41, 255)]
    assert group_near_copies(thumbnails(Loose(flat))).tolist() == [0, 1, 2, 3, 4]


def test_pictures_of_the_same_shape_in_other_colours_are_no_copies():
    red, blue = photograph(0), photograph(0)
    red[..., 1:], blue[..., :2] = 0, 0
    assert group_near_copies(thumbnails(Loose([red, blue]))).tolist() == [0, 1]


def test_copies_of_copies_are_one_group():
    thumbs = thumbnails(
        Loose([photograph(0), photograph(1), compressed(photograph(0)), photograph(2), brighter(compressed(photograph(0)))])
    )
    assert group_near_copies(thumbs).tolist() == [0, 1, 0, 3, 0]


def write(root, part, label, name, pixels):
    (root / part / label).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(root / part / label / name)


@pytest.mark.parametrize(
    ("options", "found"),
    [(["data.cache=ram"], True), (["data.near_copies=warn"], True), ([], False), (["data.cache=ram", "data.near_copies=off"], False)],
)
def test_a_run_reports_them_besides_exact_copies(options, found, tmp_path, caplog):
    for place, (part, label) in enumerate((part, label) for part in ("train", "val", "test") for label in ("ant", "bee")):
        for number in range(6):
            write(tmp_path / "source", part, label, f"{number}.png", photograph(10 * place + number))
    write(tmp_path / "source", "test", "ant", "smaller.png", smaller(photograph(3)))
    write(tmp_path / "source", "test", "ant", "exact.png", photograph(4))
    write(tmp_path / "source", "train", "bee", "wrong.jpg", photograph(5))
    folder = ("data=image_folder", f"data.source={tmp_path / 'source'}", "data.target=null", "model.weights=null", "data.num_workers=0")
    with caplog.at_level(logging.WARNING, logger="acclimate"):
        assembly.build(compose(tmp_path / "run", *folder, "data.cache=none", "data.image_size=32", "method=source_only", *options))
    lines = [record.message for record in caplog.records if "copies" in record.message]
    assert lines[0].startswith("1 of the 14 source test samples are copies of training or validation samples")
    assert len(lines) == (3 if found else 1)
    if found:
        assert lines[1].startswith("1 of the 14 source test samples are near copies of training or validation samples")
        assert "ant/smaller.png and" in lines[1]
        assert "ant/3.png." in lines[1]
        assert lines[2].startswith("2 source samples are near copies of samples of another class")
        assert "the classes are ant, bee" in lines[2]


def test_the_search_changes_no_result(tmp_path):
    searching, other = (compose(tmp_path, "data=arrays", "data.source=a.npz", f"data.near_copies={value}") for value in ("warn", "off"))
    assert identity(searching) == identity(other)
