"""Images as people have them: transparency, depth, channels and formats."""

import io
import itertools
import logging
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps

from acclimate.data.images.decoding import decode
from acclimate.data.images.image_folder import ImageFolder
from acclimate.data.images.images import Images
from acclimate.data.images.pixels import PixelFormat
from acclimate.data.images.views import ImageView
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import ImageSpec
from acclimate.types import Needs

HIDDEN, SHOWN = (200, 0, 0), (90, 160, 60)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "cache"))


def png(values, *, transparent=None):
    """A PNG of 16 bits, with 1 to 4 channels."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)]
    if transparent is not None:
        chunks.append(b"tRNS" + struct.pack(f">{channels}H", *transparent))
    chunks += [b"IDAT" + zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)


def transparent_images():
    """By name, images whose left half is transparent, with a hidden colour, and whose right half is of a colour or grey."""
    alpha = Image.new("L", (8, 8))
    alpha.paste(255, (4, 0, 8, 8))
    rgba = Image.new("RGB", (8, 8), HIDDEN)
    rgba.paste(SHOWN, (4, 0, 8, 8))
    rgba.putalpha(alpha)
    grey = Image.new("L", (8, 8), 30)
    grey.paste(120, (4, 0, 8, 8))
    grey_alpha = grey.copy()
    grey_alpha.putalpha(alpha)
    palette = Image.new("P", (8, 8))
    palette.putpalette([*HIDDEN, *SHOWN])
    palette.paste(1, (4, 0, 8, 8))
    bits = Image.new("1", (8, 8))
    bits.paste(1, (4, 0, 8, 8))
    return {
        "rgba.png": (rgba, {}),
        "rgba.webp": (rgba, {"lossless": True}),
        "rgba.tif": (rgba, {}),
        "grey_alpha.png": (grey_alpha, {}),
        "palette.png": (palette, {"transparency": 0}),
        "palette.gif": (palette, {"transparency": 0}),
        "palette_table.png": (palette, {"transparency": b"\0\xff"}),
        "rgb_one_colour.png": (rgba.convert("RGB"), {"transparency": HIDDEN}),
        "grey_one_value.png": (grey, {"transparency": 30}),
        "one_bit.png": (bits, {"transparency": 0}),
    }


@pytest.mark.parametrize("name", transparent_images())
@pytest.mark.parametrize(("background", "behind"), [("white", 255), ("black", 0), ("#808080", 128)])
def test_transparent_pixels_show_the_background_and_no_hidden_colour(name, background, behind, tmp_path):
    image, options = transparent_images()[name]
    image.save(tmp_path / name, **options)
    decoded = decode(tmp_path / name, pixels=PixelFormat(background=background))
    assert (decoded[:, :, :4] == behind).all()
    shown = {"g": (120, 120, 120), "o": (255, 255, 255)}.get(name[0], SHOWN)
    assert decoded[:, 0, 5].tolist() == list(shown)


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_of_sixteen_bits_is_composed_too(channels, tmp_path):
    values = np.full((8, 8, channels), 20 * 257)
    values[:, :4, -1], values[:, 4:, -1] = 0, 65535
    (tmp_path / "deep.png").write_bytes(png(values))
    decoded = decode(tmp_path / "deep.png")
    assert (decoded[:, :, :4] == 255).all()
    assert (decoded[:, :, 4:] == 20).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_one_transparent_colour_of_sixteen_bits_is_composed_too(channels, tmp_path):
    values = np.full((8, 8, channels), 20 * 257)
    values[:, :4] = 999
    (tmp_path / "deep.png").write_bytes(png(values, transparent=[999] * channels))
    decoded = decode(tmp_path / "deep.png")
    assert (decoded[:, :, :4] == 255).all()
    assert (decoded[:, :, 4:] == 20).all()


def test_half_transparency_is_mixed():
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    kind = Images(image_size=8)
    assert (kind.read([half, np.array(half)]).load([0, 1])[0] == 127).all()
    assert (kind.read([np.array(half)]).load([0])[0].int() - 127).abs().max() <= 1


def test_a_background_that_is_no_colour_is_refused():
    with pytest.raises(ConfigError, match=r"data\.background=nothing is not a colour"):
        ImageFolder(source="x", background="nothing")


def write_deep(root, values, *, suffix="png", number=8):
    """Images of two classes by brightness, of which `values` makes what a file stores from an array in [0, 1]."""
    random = np.random.default_rng(0)
    for name, brightness in (("dark", 0.1), ("light", 0.7)):
        (root / name).mkdir(parents=True)
        for index in range(number):
            share = (0.2 * random.random((12, 12)) + brightness).astype(np.float32)
            share[0, :2] = 0, 1
            stored = values(share)
            if suffix == "png":
                (root / name / f"{index}.png").write_bytes(png(stored if stored.ndim == 3 else stored[..., None]))
            else:
                tifffile.imwrite(root / name / f"{index}.{suffix}", stored, byteorder=">" if stored.dtype.byteorder == ">" else "<")
    return root


def prepared(root, target=None, **settings):
    data = ImageFolder(source=str(root), target=target and str(target), image_size=12, batch_size=4, **{"cache": "ram", **settings})
    spec = ImageSpec(12, settings.get("channels", 3))
    data.prepare_for(spec=spec, needs=Needs(target=target is not None), reveal_target_labels=False)
    return data


DEPTHS = {
    "12 bits in 16": (lambda share: (share * 4095).round().astype(np.uint16), "png", (0, 4095)),
    "16 bits": (lambda share: (share * 65535).round().astype(np.uint16), "tif", (0, 65535)),
    "16 bits, big-endian": (lambda share: (share * 65535).round().astype(">u2"), "tif", (0, 65535)),
    "12 bits in RGB of 16": (lambda share: (np.stack([share] * 3, 2) * 4095).round().astype(np.uint16), "png", (0, 4095)),
    "RGB of 16, TIFF": (lambda share: (np.stack([share] * 3, 2) * 65535).round().astype(np.uint16), "tif", (0, 65535)),
    "signed 16 bits": (lambda share: (share * 2000 - 1000).round().astype(np.int16), "tif", (-1000, 1000)),
    "signed 8 bits": (lambda share: (share * 200 - 100).round().astype(np.int8), "tif", (-100, 100)),
    "32 bits of 255": (lambda share: (share * 255).round().astype(np.int32), "tif", (0, 255)),
    "32 bits of 65535": (lambda share: (share * 65535).round().astype(np.int32), "tif", (0, 65535)),
    "unsigned 32 bits": (lambda share: (share.astype(float) * 4e9).round().astype(np.uint32), "tif", (0, 4e9)),
    "[0, 1]": (lambda share: share, "tif", (0, 1)),
    "[0, 1], big-endian": (lambda share: share.astype(">f4"), "tif", (0, 1)),
    "[-1, 1]": (lambda share: 2 * share - 1, "tif", (-1, 1)),
    "[0, 2.5]": (lambda share: 2.5 * share, "tif", (0, 2.5)),
    "double": (lambda share: 2.5 * share.astype(np.float64), "tif", (0, 2.5)),
    "half": (lambda share: share.astype(np.float16), "tif", (0, 1)),
    "kelvin": (lambda share: 290 + 20 * share, "tif", (290, 310)),
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_one_range_for_all_images_is_found_in_the_source_and_keeps_their_depth(depth, tmp_path):
    values, suffix, expected = DEPTHS[depth]
    data = prepared(write_deep(tmp_path / "source", values, suffix=suffix), cache="disk")
    assert data.kind.settings()["value_range"] == pytest.approx(list(expected))
    train = data.domains.source.train
    images = train.load(range(len(train)))
    assert all(image.dtype == torch.float32 and image.shape == (3, 12, 12) for image in images)
    means = [float(image[:, 1:].mean()) for image in images]
    expected_means = [0.8 if label else 0.2 for label in train.labels.tolist()]
    assert means == pytest.approx(expected_means, abs=0.03)
    # Values of 8 bits would be at most 256, of which a picture without noise has fewer.
    assert torch.cat([image.flatten() for image in images]).unique().numel() > (80 if "255" in depth or "8" in depth else 256)


def test_a_range_that_is_given_is_that_of_all_images(tmp_path):
    data = prepared(write_deep(tmp_path / "source", DEPTHS["12 bits in 16"][0]), value_range=[0, 8190])
    assert data.kind.settings()["value_range"] == [0, 8190]
    assert max(float(image.max()) for image in data.domains.source.train.load(range(4))) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("given", [[5, 5], [9, 0], [1, 2, 3]])
def test_a_range_that_is_none_is_refused(given):
    with pytest.raises(ConfigError, match=r"data\.value_range=\["):
        ImageFolder(source="x", value_range=given)


def test_a_model_keeps_its_range(tmp_path):
    source = prepared(write_deep(tmp_path / "source", DEPTHS["12 bits in 16"][0]))
    other = ImageFolder(source=str(write_deep(tmp_path / "other", lambda share: (share * 65535).astype(np.uint16))), image_size=12)
    other.continue_from(type(source.kind)(**source.kind.settings()), source.domains.classes)
    other.prepare_for(spec=ImageSpec(12), needs=Needs(), reveal_target_labels=False)
    assert other.kind.settings()["value_range"] == [0, 4095]
    (image,) = source.kind.read([np.full((12, 12), 4095, np.uint16)]).load([0])
    assert (image == 1).all()


def test_values_of_the_target_beyond_the_range_are_told(tmp_path, caplog):
    source = write_deep(tmp_path / "source", DEPTHS["12 bits in 16"][0])
    target = write_deep(tmp_path / "target", DEPTHS["16 bits"][0], suffix="tif")
    with caplog.at_level(logging.WARNING):
        prepared(source, target)
    assert "Type data.value_range=[0,65535] to keep all" in caplog.text


def test_images_of_eight_bits_among_others_have_their_own_range(tmp_path):
    root = write_deep(tmp_path / "source", DEPTHS["12 bits in 16"][0])
    Image.new("RGB", (12, 12), (51, 102, 255)).save(root / "dark" / "eight.png")
    data = prepared(root)
    (image,) = data.kind.read([root / "dark" / "eight.png"]).load([0])
    assert image[:, 0, 0].tolist() == pytest.approx([0.2, 0.4, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cache_kind", ["none", "ram"])
def test_pixels_without_a_value_are_refused_by_name_unless_they_get_one(bad, cache_kind, tmp_path):
    root = write_deep(tmp_path / "source", DEPTHS["[0, 1]"][0], suffix="tif")
    values = np.full((12, 12), 0.25, np.float32)
    values[3, 3] = bad
    tifffile.imwrite(root / "dark" / "3.tif", values)
    with pytest.raises(DataError, match=r"dark/3\.tif has 1 pixels without a value .*data\.nan=0"):
        prepared(root, cache=cache_kind)
    data = prepared(root, cache=cache_kind, nan=0.5)
    (image,) = data.kind.read([root / "dark" / "3.tif"]).load([0])
    assert float(image[0, 3, 3]) == 0.5 and float(image[0, 0, 0]) == 0.25
    assert sum(len(part) for part in prepared(root, cache=cache_kind, on_bad_image="skip").domains.source) == 15


@pytest.mark.parametrize(("channels", "planar"), [*itertools.product([2, 4, 5, 12], [False, True])])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_other_channels_are_kept_at_full_depth(channels, planar, dtype, tmp_path):
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    values = (np.random.default_rng(0).random((20, 16, channels)) * full).astype(dtype)
    path = tmp_path / "many.tif"
    stored = values.transpose(2, 0, 1) if planar else values
    tifffile.imwrite(path, stored, photometric="minisblack", planarconfig="separate" if planar else "contig")
    pixels = PixelFormat(channels, None if dtype == np.uint8 else (0, full))
    decoded = decode(path, pixels=pixels)
    assert decoded.dtype == pixels.dtype
    assert torch.equal(
        decoded if dtype == np.uint8 else (decoded * full).round() if full > 1 else decoded,
        torch.tensor(values).permute(2, 0, 1).to(decoded.dtype),
    )


def test_pages_of_a_tiff_are_channels(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (6, 9, 9), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "pages.tif", values, photometric="minisblack", metadata=None)
    assert torch.equal(decode(tmp_path / "pages.tif", pixels=PixelFormat(6)), torch.from_numpy(values))


def test_four_channels_are_those_of_an_rgba_as_they_are(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (9, 9, 4), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "near_infrared.png")
    assert torch.equal(decode(tmp_path / "near_infrared.png", pixels=PixelFormat(4)), torch.from_numpy(values).permute(2, 0, 1))


def test_another_number_of_channels_is_refused_with_the_key(tmp_path):
    tifffile.imwrite(tmp_path / "five.tif", np.zeros((9, 9, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"five\.tif has 5 channels, but data\.channels=3\. Type data\.channels=5"):
        decode(tmp_path / "five.tif")
    Image.new("RGB", (9, 9)).save(tmp_path / "three.png")
    with pytest.raises(DataError, match=r"three\.png has 3 channels, but data\.channels=4"):
        decode(tmp_path / "three.png", pixels=PixelFormat(4))


@pytest.mark.parametrize("name", ["plain", "shift", "crop_flip", "strong", "strong_crop_flip"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_views_take_all_channels_and_depths(name, channels, dtype):
    images = torch.rand(40, channels, 18, 20)
    images = images if dtype.is_floating_point else (255 * images).to(dtype)
    views = ImageView(name, image_size=16).look(images, range(40))
    assert views.shape == (40, channels, 16, 16) and views.dtype == dtype
    assert views.min() >= 0 and views.max() <= (1 if dtype.is_floating_point else 255)
    assert views.float().std() > 0.1 * (1 if dtype.is_floating_point else 255)


def test_strong_views_of_float_images_are_those_of_eight_bits():
    images = torch.randint(0, 256, (100, 3, 20, 20), dtype=torch.uint8)
    view = ImageView("strong_crop_flip", image_size=16)
    eight, deep = view.look(images, range(100)).float() / 255, view.look(images.float() / 255, range(100))
    assert ((eight - deep).abs() > 0.05).float().mean() < 0.02


def test_an_image_of_200_megapixels_names_the_limit_and_a_key_that_works(tmp_path):
    path = tmp_path / "large.png"
    image = Image.new("1", (20_000, 10_000))
    image.save(path)
    with pytest.raises(
        DataError, match=r"has 200000000 pixels, but the limit is data\.max_pixels=89478485.* Type data\.max_pixels=200000000,"
    ):
        decode(path, 224)
    Image.new("L", (50, 50)).save(tmp_path / "small.png")
    with pytest.raises(DataError, match=r"Type data\.max_pixels=2500,"):
        decode(tmp_path / "small.png", 16, 2499)
    assert decode(tmp_path / "small.png", 16, 2500).shape == (3, 16, 16)


FOREIGN = {
    "a.svg": (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "vector drawing"),
    "photo.cr2": (b"II*\0\x10\0\0\0CR\2\0", "raw file of a camera"),
    "photo.NEF": (b"MM\0*\0\0\0\x08", "raw file of a camera"),
    "photo.raf": (b"FUJIFILMCCD-RAW 0201", "raw file of a camera"),
    "renamed.jpg": (b"FUJIFILMCCD-RAW 0201", "raw file of a camera"),
    "scan.pdf": (b"%PDF-1.7", "document"),
    "scan.dcm": (bytes(128) + b"DICM", "medical image"),
    "film.mp4": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", "video"),
    "image.jxl": (b"\xff\x0a\x00", "JPEG XL"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_formats_that_are_not_read_are_named_with_what_to_do(name, tmp_path):
    contents, what = FOREIGN[name]
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(
        DataError, match=rf"{name} is .*{what}.*, which is not read\. .* to .*, or leave such files out with data\.on_bad_image=skip"
    ):
        decode(tmp_path / name)


def test_a_dng_is_refused_and_not_read_as_its_preview(tmp_path):
    tifffile.imwrite(tmp_path / "photo.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb", extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    with pytest.raises(DataError, match="raw file of a camera"):
        decode(tmp_path / "photo.tif")


def test_heic_is_read_by_an_extra_which_is_named_without_it(tmp_path, monkeypatch):
    path = tmp_path / "phone.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match=r"is a HEIC image.*pip install 'acclimate\[heic\]'"):
        decode(path)
    monkeypatch.undo()
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (32, 32), SHOWN)).save(path)
    assert (decode(path)[:, 16, 16].int() - torch.tensor(SHOWN)).abs().max() < 8


@pytest.mark.parametrize("suffix", ["webp", "avif", "jp2", "mpo", "jpg", "tif", "bmp", "gif", "ppm", "tga"])
def test_public_formats_are_read_in_their_colours(suffix, tmp_path):
    path = tmp_path / f"image.{suffix}"
    Image.new("RGB", (32, 24), SHOWN).save(path)
    decoded = decode(path)
    assert decoded.shape == (3, 24, 32)
    assert (decoded[:, 12, 16].int() - torch.tensor(SHOWN)).abs().max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_every_orientation_is_turned_upright(orientation, deep, tmp_path):
    exif = Image.Exif()
    exif[0x112] = orientation
    values = np.arange(30, dtype=np.uint8).reshape(5, 6) * 8
    image = Image.fromarray(np.stack([values] * 3, 2))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(buffer)))[..., 0]
    path = tmp_path / "turned.png"
    if deep:
        tifffile.imwrite(
            path, np.stack([values.astype(np.uint16) * 257] * 3, 2), photometric="rgb", extratags=[(274, "H", 1, orientation, True)]
        )
    else:
        path.write_bytes(buffer.getvalue())
    assert np.array_equal(decode(path)[0].numpy(), expected)


@pytest.mark.parametrize(("mode", "suffix"), itertools.product(["RGB", "L", "P", "CMYK", "LAB", "YCbCr"], ["png", "jpg", "tif"]))
def test_modes_without_transparency_have_the_bits_of_pillow(mode, suffix, tmp_path):
    if (mode, suffix) in {("CMYK", "png"), ("LAB", "png"), ("LAB", "jpg"), ("YCbCr", "png"), ("P", "jpg")}:
        pytest.skip("there is no such file")
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, {"RGB": 3, "CMYK": 4, "LAB": 3, "YCbCr": 3}.get(mode, 1)), dtype=np.uint8)
    image = Image.frombytes(mode, (16, 16), noise.tobytes())
    image.save(tmp_path / f"image.{suffix}")
    expected = np.array(Image.open(tmp_path / f"image.{suffix}").convert("RGB"))
    assert np.array_equal(decode(tmp_path / f"image.{suffix}").permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(("width", "height"), [(1, 3000), (3000, 1), (3, 500)])
def test_of_a_line_the_middle_is_kept(width, height, tmp_path):
    """What views for evaluation show of it is the same, and does not fill the memory."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "line.png")
    kept = 100 * min(width, height)
    start = (max(width, height) - kept) // 2
    middle = pixels[start : start + kept] if height > width else pixels[:, start : start + kept]
    for shorter_side in (None, 8):
        assert np.array_equal(decode(tmp_path / "line.png", shorter_side).permute(1, 2, 0).numpy(), middle)
