"""What is slow to compute again, kept on the user's disk under a key of all that it depends on.

It lies in `$ACCLIMATE_CACHE`, or else in the user's cache directory, and is never larger than `$ACCLIMATE_CACHE_GB`. Entries have
checksums, and a damaged one is made anew. Links are never followed, and folders without the mark of an entry never removed.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from platformdirs import user_cache_path

from acclimate.data.cache.entries import UNFINISHED, add_checksums, delete, discard, find_damage, find_folders, mark, read_about, total_size
from acclimate.errors import ConfigError

log = logging.getLogger(__name__)

T = TypeVar("T")
# Where something is kept: not at all, for this run, or for all runs to come.
Cache = Literal["none", "ram", "disk"]

DEFAULT_LIMIT = 20.0


class CacheUnavailable(Exception):  # noqa: N818, a reason to go on without a cache, not a failure
    """The cache cannot hold what it should; the message says why."""


class Entry(NamedTuple):
    """Something in the cache: a folder, what is in it in words, its bytes, and when it was used last, in seconds since 1970."""

    folder: Path
    about: str
    size: int
    used: float


def root() -> Path:
    """The folder of the cache."""
    if os.environ.get("ACCLIMATE_CACHE"):
        return Path(os.environ["ACCLIMATE_CACHE"])
    return user_cache_path("acclimate", appauthor=False)


def limit() -> int:
    """How many bytes the cache may take.

    Raises:
        ConfigError: If `$ACCLIMATE_CACHE_GB` is no number that is at least 0.
    """
    text = os.environ.get("ACCLIMATE_CACHE_GB") or str(DEFAULT_LIMIT)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise ConfigError(f"ACCLIMATE_CACHE_GB={text} must be a number of gigabytes, at least 0, such as {DEFAULT_LIMIT:g}.")
    return int(min(gigabytes, 1e9) * 1e9)


def key_of(*parts: object) -> str:
    """A name for what depends on these parts; they must have a `repr` that tells all of them.

    >>> key_of("resize", 224) == key_of("resize", 224), key_of("resize", 224) == key_of("resize", 256)
    (True, False)
    """
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def cached(
    kind: str,
    key: str,
    *,
    fill: Callable[[Path], None],
    read: Callable[[Path], T],
    about: str,
    checked_by_reader: Collection[str] = (),
) -> T:
    """What `read` makes of an entry, which `fill` writes first if there is none or it is damaged.

    An entry is whole or not there, whenever a process dies. Processes that want the same one at the same time wait for
    the first of them, and what was used longest ago makes room.

    Args:
        kind: Entries of one format.
        key: From `key_of`.
        fill: Writes files into an empty folder.
        read: Reads them; what it opens stays readable when the entry is removed.
        about: What is in it, in words.
        checked_by_reader: Files that are too large to be read before they are needed. Only their size is checked here.

    Raises:
        CacheUnavailable: If the folder cannot be written, or the entry is larger than the whole cache may be.
    """
    folder = root() / kind / key
    if folder.parent.is_symlink():
        raise CacheUnavailable(
            f"{folder.parent} is a link, which the cache does not follow. If it should be elsewhere, set ACCLIMATE_CACHE."
        )
    try:
        if find_damage(folder):
            with _lock(folder, about):
                # Another process may have been faster.
                if damage := find_damage(folder):
                    if os.path.lexists(folder):
                        log.warning("A damaged entry of the cache is made anew, %s: %s (%s)", about, folder, damage)
                        discard(folder)
                    _write(folder, fill, about, checked_by_reader)
        os.utime(folder)
        return read(folder)
    except OSError as error:
        raise CacheUnavailable(f"The cache in {root()} cannot be used: {error}.") from error


def ensure_fits(size: int) -> None:
    """Stops what is larger than the whole cache may be, before it fills the disk.

    Raises:
        CacheUnavailable: If it is.
    """
    if size > limit():
        raise CacheUnavailable(f"It is larger than the {limit() / 1e9:g} GB that ACCLIMATE_CACHE_GB allows.")


def entries() -> list[Entry]:
    """All that the cache holds, the last used first."""
    found = []
    for folder in find_folders(root()):
        # Another process may remove it meanwhile.
        with contextlib.suppress(OSError):
            if folder.suffix != UNFINISHED:
                found.append(Entry(folder, read_about(folder), total_size(folder), folder.stat().st_mtime))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def clear() -> int:
    """Removes all entries, and what processes that died left behind; returns the bytes. Runs that read an entry go on."""
    from filelock import FileLock, Timeout

    removed = 0
    for entry in entries():
        removed += entry.size
        discard(entry.folder)
    for folder in (folder for folder in find_folders(root()) if folder.suffix == UNFINISHED):
        with contextlib.suppress(Timeout), FileLock(_lock_file(folder.with_name(folder.name.partition(".")[0])), timeout=0):
            removed += total_size(folder)
            delete(folder)
    return removed


def _write(folder: Path, fill: Callable[[Path], None], about: str, checked_by_reader: Collection[str]) -> None:
    """Only the holder of the folder's lock may."""
    unfinished = folder.with_suffix(UNFINISHED)
    if os.path.lexists(unfinished):
        discard(unfinished)
    unfinished.mkdir(parents=True)
    try:
        mark(unfinished)
        fill(unfinished)
        add_checksums(unfinished, checked_by_reader)
        (unfinished / "about").write_text(about)
        for path in unfinished.iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        size = total_size(unfinished)
        ensure_fits(size)
        _make_room(size)
        unfinished.rename(folder)
    finally:
        delete(unfinished)


def _make_room(size: int) -> None:
    present = entries()
    total = size + sum(entry.size for entry in present)
    while total > limit() and present:
        oldest = present.pop()
        log.info("Removed from the cache, to make room: %s", oldest.about)
        discard(oldest.folder)
        total -= oldest.size


@contextlib.contextmanager
def _lock(folder: Path, about: str) -> Iterator[None]:
    # Imported where it is needed: the command's --help should not wait for it.
    from filelock import FileLock, Timeout

    lock = FileLock(_lock_file(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("Waiting for another process, which is just computing the same: %s", about)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock_file(folder: Path) -> Path:
    """Locks are not inside of what they guard, and stay when it goes: whoever waits has this file open."""
    file = root() / "locks" / f"{folder.parent.name}-{folder.name}"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
