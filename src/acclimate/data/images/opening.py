"""Opening of image files, and the formats that are not read."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from acclimate.data.images.stored_pixels import ImageError

# Formats that Pillow decodes with a program that runs code in the file.
PROGRAMS = ("EPS",)
# Number of bytes at the beginning of a file that show its format.
NUM_BYTES = 512
# Raw files of cameras. Many are a kind of TIFF, of which Pillow would read only the small preview.
CAMERAS = "3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
RAW = [f".{name}" for name in CAMERAS.split()]
DNG_VERSION = 50706
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def open_image(path: Path) -> Image.Image:
    """Open an image without decoding it.

    Raises:
        ImageError: If its format is not read, with advice.
        UnidentifiedImageError: If its format is unknown.
    """
    if path.suffix.lower() in RAW:
        raise camera_raw()
    try:
        image = Image.open(path, formats=_formats())
    except UnidentifiedImageError:
        with path.open("rb") as file:
            beginning = file.read(NUM_BYTES)
        if _is_heif(beginning):
            return _open_heif(path)
        if (name := next((name for name, belongs in OTHER_FORMATS.items() if belongs(beginning, path)), None)) is not None:
            raise ImageError(f"is {name}, which is not read. Convert it to PNG or TIFF") from None
        raise
    if image.format == "TIFF" and DNG_VERSION in image.tag_v2:  # type: ignore[attr-defined]
        image.close()
        raise camera_raw()
    return image


def camera_raw() -> ImageError:
    """Return the error for the raw file of a camera."""
    return ImageError("is the raw file of a camera, which is not read. Develop it to TIFF or PNG; 16 bits keep its depth")


def may_be_deep(file: IO[bytes]) -> bool:
    """Return True if an image may have more than 8 bits, by its first bytes, which rule it out for most files."""
    beginning = file.read(32)
    if beginning.startswith(b"\x89PNG"):
        return beginning[24:25] == b"\x10"
    return not beginning.startswith((b"\xff\xd8\xff", b"GIF8", b"BM")) and beginning[8:12] != b"WEBP"


def _open_heif(path: Path) -> Image.Image:
    try:
        import pillow_heif
    except ModuleNotFoundError as error:
        raise ImageError("is a HEIC image, which needs a package. Type pip install 'acclimate[heic]', or convert it to JPEG") from error
    pillow_heif.register_heif_opener()
    return Image.open(path)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.OPEN if name not in PROGRAMS)


def _is_heif(beginning: bytes) -> bool:
    return beginning[4:8] == b"ftyp" and any(brand in beginning[8:64] for brand in HEIF_BRANDS)


def _starts(*texts: bytes) -> Callable[[bytes, Path], bool]:
    return lambda beginning, _: beginning.lstrip().startswith(texts)


# Tests of other formats, by the contents of the file or, where they are not conclusive, by its suffix.
OTHER_FORMATS: dict[str, Callable[[bytes, Path], bool]] = {
    "a vector drawing (SVG)": lambda beginning, path: b"<svg" in beginning or path.suffix.lower() in (".svg", ".svgz"),
    "a document (PDF)": _starts(b"%PDF"),
    "a page description (PostScript)": _starts(b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "a medical image (DICOM)": lambda beginning, path: beginning[128:132] == b"DICM" or path.suffix.lower() in (".dcm", ".nii"),
    "a JPEG XL image": _starts(b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "a radiance map (OpenEXR or HDR)": _starts(b"\x76\x2f\x31\x01", b"#?RADIANCE", b"#?RGBE"),
    "the raw file of a camera": _starts(b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"IIU\0", b"FOVb", b"\0MRM"),
    "a video": lambda beginning, _: beginning[4:8] == b"ftyp" or beginning[8:12] == b"AVI " or beginning[:4] == b"\x1aE\xdf\xa3",
    "an array of NumPy": _starts(b"\x93NUMPY"),
}
