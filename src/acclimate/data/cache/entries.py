"""Entries of the cache: their marks, checksums and removal."""

import contextlib
import os
import re
import secrets
import shutil
import stat
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from acclimate.files.checksums import crc32

# Suffix of folders that are being written or removed; no entry has it.
UNFINISHED = ".unfinished"
# The file that marks a folder as an entry. Its first line is the checksum of the other lines, each of which has the checksum and the
# name of a file, or its size if reading the whole file would take too long.
MARK = "acclimate-checksums"
# Entries of earlier versions without marks are recognised by their folder and by a name that only `key_of` creates.
UNMARKED = re.compile(rf"(?:images|features)/[0-9a-f]{{32}}(?:\.\d+)?(?:{re.escape(UNFINISHED)})?")


def discard(path: Path) -> None:
    """Remove an entry, or whatever has its path; of a link, only the link itself."""
    # Renamed first, so that no process finds half of it. Another process may have been faster.
    doomed = path.with_suffix(f".{secrets.randbits(32)}{UNFINISHED}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(doomed)
        delete(doomed)


def find_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of entries, finished or not, without links, their contents, and unrelated folders."""
    for kind in _subfolders(root):
        for folder in _subfolders(kind):
            if _is_file(folder / MARK) or UNMARKED.fullmatch(f"{kind.name}/{folder.name}"):
                yield folder


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return [Path(one.path) for one in found if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode) if os.path.lexists(path) else False


def find_damage(folder: Path) -> str | None:
    """Return a description of the damage of an entry, or None."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return "not a folder"
        if not _is_file(folder / MARK):
            return "without checksums"
        own, *lines = (folder / MARK).read_text().splitlines()
        if own != _line_checksum(lines):
            return f"{MARK} has changed"
        for line in lines:
            expected, _, name = line.partition(" ")
            if not _is_file(folder / name) or expected != _fingerprint(folder / name, by_size=expected.startswith("size=")):
                return f"{name} has changed"
    except (OSError, ValueError) as error:
        return str(error)
    return None


def mark(folder: Path) -> None:
    """Mark a folder as an entry, or as a future entry."""
    (folder / MARK).touch()


def add_checksums(folder: Path, checked_by_reader: Collection[str]) -> None:
    """Write the checksums of an entry's files, or only the size of files that take too long to read."""
    lines = [
        f"{_fingerprint(path, by_size=path.name in checked_by_reader)} {path.name}"
        for path in sorted(folder.iterdir())
        if path.name != MARK
    ]
    (folder / MARK).write_text("\n".join([_line_checksum(lines), *lines]))


def _fingerprint(path: Path, *, by_size: bool) -> str:
    if by_size:
        return f"size={path.stat().st_size}"
    with path.open("rb") as file:
        return f"{crc32(file):08x}"


def _line_checksum(lines: list[str]) -> str:
    text = "\n".join(lines)
    return f"{zlib.crc32(text.encode()):08x}"


def delete(path: Path) -> None:
    """Remove a folder and its mark last, so that the rest is still recognised if the process dies meanwhile."""
    with contextlib.suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        for inside in sorted(path.iterdir(), key=lambda one: one.name == MARK):
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside, ignore_errors=True)
            else:
                inside.unlink()
        path.rmdir()


def read_about(folder: Path) -> str:
    """Read the description of an entry."""
    about = folder / "about"
    return about.read_text(errors="replace") if _is_file(about) else "unknown"


def total_size(folder: Path) -> int:
    """Return the size of all files in a folder, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if _is_file(path))
