"""The cache on disk: entries under keys of everything that they depend on.

It is in `$ACCLIMATE_CACHE`, or else in the user's cache directory, and never larger than `$ACCLIMATE_CACHE_GB`. Entries have
checksums, and damaged ones are created again. Links are never followed, and folders without the mark of an entry never removed.
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
# Kinds of caches: none, in memory for this run, or on disk for all later runs.
Cache = Literal["none", "ram", "disk"]

DEFAULT_LIMIT = 20.0


class CacheUnavailable(Exception):  # noqa: N818, a reason to continue without a cache, not a failure
    """A cache that cannot be used for an entry; the message gives the reason."""


class Entry(NamedTuple):
    """An entry of the cache: its folder, description, size in bytes, and the time of its last use, in seconds since 1970."""

    folder: Path
    about: str
    size: int
    used: float


def root() -> Path:
    """Return the folder of the cache."""
    if os.environ.get("ACCLIMATE_CACHE"):
        return Path(os.environ["ACCLIMATE_CACHE"])
    return user_cache_path("acclimate", appauthor=False)


def limit() -> int:
    """Return the maximum size of the cache in bytes.

    Raises:
        ConfigError: If `$ACCLIMATE_CACHE_GB` is not a number of at least 0.
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
    """Return a key for a result that depends on the given parts, which must be determined by their `repr`.

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
    """Return a cached entry, creating it with `fill` on a miss or if it is damaged.

    An entry is complete or does not exist, even if a process dies. Processes that need the same one at the same time wait for
    the first of them, and the least recently used entries are removed to make room.

    Args:
        kind: Name of the format of the entry.
        key: Key from `key_of`.
        fill: Function that writes files into an empty folder.
        read: Function that reads them; files that it opens stay readable after the entry is removed.
        about: Description of the entry.
        checked_by_reader: Files that are too large to be read in advance. Only their size is checked here.

    Raises:
        CacheUnavailable: If the folder cannot be written, or the entry is larger than the limit of the cache.
    """
    folder = root() / kind / key
    if folder.parent.is_symlink():
        raise CacheUnavailable(f"{folder.parent} is a link, which the cache does not follow. To move the cache, set ACCLIMATE_CACHE.")
    try:
        if find_damage(folder):
            with _lock(folder, about):
                # Another process may have been faster.
                if damage := find_damage(folder):
                    if os.path.lexists(folder):
                        log.warning("A damaged entry of the cache is created again, %s: %s (%s)", about, folder, damage)
                        discard(folder)
                    _write(folder, fill, about, checked_by_reader)
        os.utime(folder)
        return read(folder)
    except OSError as error:
        raise CacheUnavailable(f"The cache in {root()} cannot be used: {error}.") from error


def ensure_fits(size: int) -> None:
    """Check that an entry is not larger than the limit of the cache, before it fills the disk.

    Raises:
        CacheUnavailable: If it is larger.
    """
    if size > limit():
        raise CacheUnavailable(f"It is larger than the {limit() / 1e9:g} GB that ACCLIMATE_CACHE_GB allows.")


def entries() -> list[Entry]:
    """Return all entries, the most recently used first."""
    found = []
    for folder in find_folders(root()):
        # Another process may remove it meanwhile.
        with contextlib.suppress(OSError):
            if folder.suffix != UNFINISHED:
                found.append(Entry(folder, read_about(folder), total_size(folder), folder.stat().st_mtime))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def clear() -> int:
    """Remove all entries and remains of dead processes, and return their bytes. Runs that use an entry can continue."""
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
    """Write an entry; the caller must hold the folder's lock."""
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
    # Imported here, so that --help does not wait for it.
    from filelock import FileLock, Timeout

    lock = FileLock(_lock_file(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("Waiting for another process that is computing the same: %s", about)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock_file(folder: Path) -> Path:
    """Return the lock file of an entry, which is outside of it and is kept, because waiting processes have it open."""
    file = root() / "locks" / f"{folder.parent.name}-{folder.name}"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
