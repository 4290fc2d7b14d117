"""Search for images in folders, without the files that other programs leave there."""

import os
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

# Folders and files of file managers, network drives, notebooks and archives, in lower case. Hidden ones are left out as well.
LITTER_FOLDERS = {
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "@sharebin",
    "@tmp",
    "#recycle",
    "#snapshot",
    "__macosx",
    "__pycache__",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
}
LITTER_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
# Formats of Pillow that usually contain no pictures, or that it cannot decode.
NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
# Pictures that Pillow cannot decode, or only with an extension. They are not ignored, so that decoding them reports it.
FOREIGN_SUFFIXES = {".heic", ".heif", ".svg", ".svgz", ".eps"}
FOREIGN_SUFFIXES |= {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"}
# First bytes of JPEG, PNG, GIF, TIFF, WebP, AVIF, HEIC, JPEG 2000 and BMP, for files without a known suffix.
SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|....ftyp(?:avi[fs]|hei[cx]|mif1|msf1)"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51|BM....\0\0\0\0",
    re.DOTALL,
)
# Number of names in messages.
NUM_SHOWN = 3


class FoundFiles(NamedTuple):
    """Files below a folder.

    Attributes:
        images: Files that are images by their suffix or their first bytes, whole or not, sorted by their relative path.
        litter: Number of files that are left out, by the name of the folder or the file that marks them as litter.
        others: Names of files that are not images, relative to the folder, sorted.
    """

    images: list[Path]
    litter: Counter[str]
    others: list[str]

    def left_out(self) -> str:
        """Describe in one line the files that are left out; empty if there are none."""
        said = [f"{number} in or called {name}" for name, number in sorted(self.litter.items())]
        if self.others:
            shown = ", ".join(self.others[:NUM_SHOWN]) + (", …" if len(self.others) > NUM_SHOWN else "")
            said.append(f"{len(self.others)} that {'is no image' if len(self.others) == 1 else 'are no images'} ({shown})")
        return "; ".join(said)


def find_files(root: Path) -> FoundFiles:
    """Find the images below a folder; links to folders are followed."""
    images: list[Path] = []
    others: list[str] = []
    litter: Counter[str] = Counter()
    # Path.rglob does not follow links to folders, which data sets often consist of.
    for folder, subfolders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        ancestors = {root.resolve(), *(parent.resolve() for parent in (here, *here.parents) if parent.is_relative_to(root))}
        for name in [name for name in subfolders if is_litter_folder(name)]:
            subfolders.remove(name)
            litter[f"{name}/"] += sum(len(inside) for _, _, inside in os.walk(here / name))
        subfolders[:] = [name for name in subfolders if (here / name).resolve() not in ancestors]
        for name in files:
            path = here / name
            if name.startswith(".") or name.lower() in LITTER_FILES:
                litter["._*" if name.startswith("._") else name] += 1
            elif is_image(path):
                images.append(path)
            else:
                others.append(path.relative_to(root).as_posix())
    # All paths begin with the root, so this is the order of the relative paths.
    return FoundFiles(sorted(images, key=Path.as_posix), +litter, sorted(others))


def subfolders_of(root: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, without litter."""
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not is_litter_folder(path.name))


def is_litter_folder(name: str) -> bool:
    """Return True if a folder belongs to the system or to a program, not to the data.

    >>> is_litter_folder("@eaDir"), is_litter_folder(".ipynb_checkpoints"), is_litter_folder("cat")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in LITTER_FOLDERS


def is_image(path: Path) -> bool:
    """Return True if a file is an image by its suffix or its first bytes."""
    if path.suffix.lower() in _suffixes():
        # A broken link is an image that is missing.
        return path.is_file() or path.is_symlink()
    try:
        with path.open("rb", buffering=0) as file:
            return path.is_file() and SIGNATURES.match(file.read(16)) is not None
    except OSError:
        return False


@cache
def _suffixes() -> set[str]:
    Image.init()
    decoded = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN and name not in NO_PICTURES}
    return decoded | FOREIGN_SUFFIXES
