import logging
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_image, write_text_named_jpg, write_truncated_jpeg, write_unusual_images
from PIL import Image

from acclimate.data.images.decoded_images import decode_once
from acclimate.data.images.decoding import decode, keep_whole_images, map_files
from acclimate.data.images.file_search import find_files
from acclimate.data.images.image_files import ImageFiles
from acclimate.errors import DataError

RAMP = torch.arange(0, 256, 17, dtype=torch.uint8).expand(3, 16, 16)


@pytest.fixture(scope="module")
def unusual_images(tmp_path_factory):
    return {path.name: path for path in write_unusual_images(tmp_path_factory.mktemp("unusual"))}


@pytest.mark.parametrize(
    "name",
    [
        "grey.png",
        "grey_alpha.png",
        "rgba.png",
        "palette.png",
        "transparent_palette.png",
        "cmyk.tif",
        "cmyk.jpg",
        "sixteen_bits.png",
        "sixteen_bits.tif",
        "thirty_two_bits.tif",
        "floating_point.tif",
        "grey.gif",
        "grey.bmp",
        "grey.webp",
    ],
)
def test_unusual_images_become_rgb_of_the_same_brightness(unusual_images, name):
    pixels = decode(unusual_images[name])
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, 16, 16)
    # A JPEG loses a little at every step of the ramp.
    tolerance = 24 if name.endswith("jpg") else 1
    assert (pixels.int() - RAMP.int()).abs().max() <= tolerance


def test_a_dark_image_of_sixteen_bits_stays_dark(tmp_path):
    Image.fromarray(np.full((8, 8), 30 * 257, dtype=np.uint16)).save(tmp_path / "dark.png")
    assert (decode(tmp_path / "dark.png") == 30).all()


def test_colours_keep_their_order(tmp_path):
    pixels = decode(write_image(tmp_path / "orange.png", colour=(200, 100, 50)))
    assert pixels[:, 0, 0].tolist() == [200, 100, 50]


def test_a_photograph_that_was_taken_sideways_is_turned_upright(tmp_path):
    sideways = Image.new("RGB", (20, 10), (0, 0, 0))
    sideways.paste((255, 255, 255), (0, 0, 10, 10))
    exif = Image.Exif()
    # Orientation 6: turn by 90 degrees clockwise to see it upright; the left half becomes the upper half.
    exif[0x112] = 6
    sideways.save(tmp_path / "sideways.png", exif=exif)
    pixels = decode(tmp_path / "sideways.png")
    assert pixels.shape == (3, 20, 10)
    assert (pixels[:, :10] == 255).all()
    assert (pixels[:, 10:] == 0).all()


@pytest.mark.parametrize("write", [write_truncated_jpeg, write_text_named_jpg, lambda path: path.touch() or path])
def test_a_file_that_is_not_a_whole_image_is_named_with_what_to_do(tmp_path, write):
    path = write(tmp_path / "bad.jpg")
    with pytest.raises(DataError, match=rf"{path} is not a whole image: .*data\.on_bad_image=skip"):
        decode(path)


def test_damaged_files_are_never_more_than_a_user_error(unusual_images, tmp_path):
    random = np.random.default_rng(0)
    for path in unusual_images.values():
        for _ in range(20):
            damaged = bytearray(path.read_bytes())
            for place in random.integers(0, min(len(damaged), 300), 4):
                damaged[place] = random.integers(256)
            (tmp_path / "damaged").write_bytes(damaged[: random.integers(1, len(damaged) + 1)])
            try:
                assert decode(tmp_path / "damaged").shape[0] == 3
            except DataError as error:
                assert "data.on_bad_image=skip" in str(error)


def test_skipping_keeps_the_whole_images_and_logs_the_names_of_the_others(tmp_path, caplog):
    good = [write_image(tmp_path / f"{number}.png") for number in range(3)]
    bad = [write_truncated_jpeg(tmp_path / "half.jpg"), write_text_named_jpg(tmp_path / "text.jpg")]
    with caplog.at_level(logging.WARNING):
        kept = keep_whole_images([good[0], bad[0], good[1], bad[1], good[2]], "skip")
    assert kept == good
    assert all(str(path) in caplog.text for path in bad)


def test_decoding_is_silent_and_leaves_the_warnings_of_the_process_alone(tmp_path, recwarn):
    palette = Image.new("P", (8, 8))
    palette.putpalette(3 * list(range(256)))
    palette.save(tmp_path / "half_transparent.png", transparency=bytes(range(256)))
    paths = 8 * [tmp_path / "half_transparent.png"]
    before = list(warnings.filters)
    keep_whole_images(paths, "error")
    decode_once(ImageFiles(paths, None), "ram")
    ImageFiles(paths, None).load(range(8))
    assert not recwarn.list
    assert warnings.filters == before


def test_the_first_bad_file_is_an_error_that_counts_the_others(tmp_path):
    paths = [write_image(tmp_path / "good.png"), write_truncated_jpeg(tmp_path / "half.jpg"), write_text_named_jpg(tmp_path / "text.jpg")]
    with pytest.raises(DataError, match=r"half\.jpg is not a whole image.*1 more file"):
        keep_whole_images(paths, "error")


def test_files_are_found_in_all_folders_in_the_order_of_their_paths_without_hidden_ones(tmp_path):
    for name in ("b/2.png", "b/10.png", "a/x/1.png", "c.png", ".hidden/1.png", "a/.DS_Store", "b/._2.png", "b/Thumbs.db", "desktop.ini"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_files(tmp_path).images] == ["a/x/1.png", "b/10.png", "b/2.png", "c.png"]


def test_a_hidden_folder_above_the_root_hides_nothing(tmp_path):
    path = write_image(tmp_path / ".cache" / "photos" / "1.png")
    assert find_files(tmp_path / ".cache" / "photos").images == [path]


def test_linked_files_and_folders_are_followed_but_not_in_circles(tmp_path):
    write_image(tmp_path / "elsewhere" / "1.png")
    root = tmp_path / "photos"
    write_image(root / "cat" / "1.png")
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "2.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    (root / "cat" / "circle").symlink_to(root)
    assert [path.relative_to(root).as_posix() for path in find_files(root).images] == ["cat/1.png", "cat/2.png", "dog/1.png"]


def test_a_part_of_a_set_keeps_labels_with_their_images(tmp_path):
    paths = [write_image(tmp_path / f"{number}.png", colour=(number, 0, 0)) for number in range(5)]
    part = ImageFiles(paths, torch.arange(5)).take([4, 1])
    assert [int(image[0, 0, 0]) for image in part.load([0, 1])] == part.labels.tolist() == [4, 1]
    assert ImageFiles(paths, None).take([4, 1]).labels is None


def png_of(width, height):
    """The beginning of a file that says that it is of this size."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(10**5))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)


@pytest.mark.parametrize("size", [(1, 170_000_000), (170_000_000, 1), (2**31 - 1, 2**31 - 1), (9_500, 9_500)])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_an_image_that_is_huge_in_memory_is_refused_before_it_is_decoded(size, kind, tmp_path):
    path = tmp_path / f"bomb.{kind}"
    if kind == "png":
        path.write_bytes(png_of(*size))
    else:
        tags = [(256, size[0]), (257, size[1]), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, size[1]), (279, 99)]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        path.write_bytes(b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(99))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"has \d+ pixels, but the limit is data.max_pixels=89478485"):
        decode(path, 224)
    assert tracemalloc.get_traced_memory()[1] < 3e6
    tracemalloc.stop()


def test_the_limit_of_pixels_is_what_the_key_says(tmp_path):
    path = write_image(tmp_path / "large.png", size=50)
    assert decode(path, max_pixels=2500).shape == (3, 50, 50)
    with pytest.raises(DataError, match=r"has 2500 pixels, but the limit is data\.max_pixels=2499.* Type data\.max_pixels=2500, "):
        decode(path, max_pixels=2499)


def test_no_program_is_run_for_an_image(tmp_path):
    path = tmp_path / "program.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(mark) (w) file closefile\n%%EOF\n")
    with pytest.raises(DataError, match=r"is a page description \(PostScript\), which is not read"):
        decode(path)


@pytest.mark.parametrize("num_files", [0, 1, 7, 500])
def test_files_are_looked_at_in_batches_and_in_order(num_files):
    paths = [Path(str(number)) for number in range(num_files)]
    assert map_files(lambda path: int(path.name), paths) == list(range(num_files))
