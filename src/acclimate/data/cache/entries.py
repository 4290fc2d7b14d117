"""Folders of the cache: how they are known as such, checked and removed."""

import contextlib
import os
import re
import secrets
import shutil
import stat
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

# What is being written or removed; no entry has it.
UNFINISHED = ".unfinished"
# The file that marks a folder as an entry: its first line is the checksum of the others, which have the checksum and the name of a
# file each, or the size where reading the whole file would take too long.
MARK = "acclimate-checksums"
# Entries from before there were marks are known by where they lie, and by a name that only `key_of` gives.
UNMARKED = re.compile(rf"(?:images|features)/[0-9a-f]{{32}}(?:\.\d+)?(?:{re.escape(UNFINISHED)})?")
BLOCK = 1 << 20


def discard(path: Path) -> None:
    """Remove an entry, or what is in its place; a link, but not what it leads to."""
    # Renamed first, so that nobody finds half of it. Another process may have been faster.
    doomed = path.with_suffix(f".{secrets.randbits(32)}{UNFINISHED}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(doomed)
        delete(doomed)


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def find_folders(root: Path) -> Iterator[Path]:
    """Folders of entries, finished or not: not links, nor what lies in links, nor what somebody else may have put there."""
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
    """What keeps an entry from being used; None if nothing does."""
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
    """Make it known that a folder is an entry, or will be."""
    (folder / MARK).touch()


def add_checksums(folder: Path, checked_by_reader: Collection[str]) -> None:
    """Remember what the files of an entry are, or the size alone of those that take too long to read."""
    lines = [
        f"{_fingerprint(path, by_size=path.name in checked_by_reader)} {path.name}"
        for path in sorted(folder.iterdir())
        if path.name != MARK
    ]
    (folder / MARK).write_text("\n".join([_line_checksum(lines), *lines]))


def _fingerprint(path: Path, *, by_size: bool) -> str:
    return f"size={path.stat().st_size}" if by_size else f"{_crc32(path):08x}"


def _line_checksum(lines: list[str]) -> str:
    text = "\n".join(lines)
    return f"{zlib.crc32(text.encode()):08x}"


def delete(path: Path) -> None:
    """Remove a folder, its mark at last, so that the rest of it is known if the process dies meanwhile."""
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
    """What is in an entry, in words."""
    about = folder / "about"
    return about.read_text(errors="replace") if _is_file(about) else "unknown"


def total_size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if _is_file(path))
