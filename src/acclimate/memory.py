"""Memory that training on CPUs frees and takes again in every step."""

import ctypes

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Has the C library keep what is freed instead of giving it back to the system: a step needs what the step before it freed.

    Without it, glibc maps each large block anew, and the system fills it with zeros page by page, a tenth of a step of a
    ResNet-50. The process then has the most memory that it ever needed until it ends.

    Returns:
        Whether the C library can do that: glibc can.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, 2**31 - 1)])
