"""Locks of files."""

from filelock import FileLock, Timeout


def is_acquired(lock: FileLock) -> bool:
    """Acquire a lock without waiting, and return False if another process holds it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
