"""Image files for tests, small and of all kinds."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"cat": (220, 40, 40), "dog": (40, 40, 220), "owl": (40, 220, 40)}


def write_image(path: Path, *, colour: tuple[int, int, int] = (200, 100, 50), size: int = 12, number: int = 0) -> Path:
    """A file in one colour, in folders that are made if they are missing; files that should differ have another number in a corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (size, size), colour)
    if number:
        image.putpixel((0, 0), (number, 0, 0))
    image.save(path)
    return path


def write_class_folders(root: Path, *, classes: tuple[str, ...] = ("cat", "dog"), num_images: int = 10) -> Path:
    """So many images in a folder of each class, each class in its colour."""
    for name in classes:
        for number in range(num_images):
            write_image(root / name / f"{number}.png", colour=COLOURS[name], number=number)
    return root


def write_flat_folder(root: Path, *, num_images: int = 20) -> Path:
    """Images beside each other, without class folders."""
    for number in range(num_images):
        write_image(root / f"{number}.png", number=number)
    return root


def write_truncated_jpeg(path: Path) -> Path:
    """The first half of a JPEG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, "JPEG")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def write_text_named_jpg(path: Path) -> Path:
    """A file whose name promises an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not an image")
    return path


def write_unusual_images(folder: Path) -> list[Path]:
    """The same ramp from black to white as greyscale, CMYK, palette, palette with transparency, 16 bits and more."""
    folder.mkdir(parents=True, exist_ok=True)
    ramp = np.tile(np.arange(0, 256, 17, dtype=np.uint8), (16, 1))
    grey = Image.fromarray(ramp)
    deep = ramp.astype(np.uint16) * 257
    images = {
        "grey.png": grey,
        "grey_alpha.png": grey.convert("LA"),
        "rgba.png": grey.convert("RGBA"),
        "palette.png": grey.convert("P"),
        "transparent_palette.png": grey.convert("P"),
        "cmyk.tif": grey.convert("CMYK"),
        "cmyk.jpg": grey.convert("CMYK"),
        "sixteen_bits.png": Image.fromarray(deep),
        "sixteen_bits.tif": Image.fromarray(deep),
        "thirty_two_bits.tif": Image.fromarray(deep.astype(np.int32)),
        "floating_point.tif": Image.fromarray(ramp.astype(np.float32) / 255),
        "grey.gif": grey,
        "grey.bmp": grey,
        "grey.webp": grey.convert("RGB"),
    }
    for name, image in images.items():
        options = {"transparency": 3} if name == "transparent_palette.png" else {"lossless": True} if name.endswith("webp") else {}
        image.save(folder / name, **options)
    return sorted(folder.iterdir())
