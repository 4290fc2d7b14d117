"""Memory: keeping what each step frees and takes again, and what to do when there is not enough."""

import ctypes
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from acclimate.errors import ConfigError

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
SIZES = ("batch_size", "target_batch_size", "eval_batch_size", "image_size", "num_workers")
ADVICE = "Lower data.batch_size, data.target_batch_size and data.eval_batch_size, then data.image_size, or choose a smaller model."
# What torch says on CPUs, on GPUs, of sizes beyond 64 bits, and of a worker that the system has ended.
_OUT_OF_MEMORY = re.compile(
    r"DefaultCPUAllocator|not enough memory|out of memory|Storage size calculation overflowed|integer multiplication overflow"
    r"|DataLoader worker .* killed by signal: (?:Killed|Bus error)"
)


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


@contextmanager
def explain_out_of_memory(config: Mapping[str, Any], sizes: Mapping[str, Any] | None = None, advice: str = ADVICE) -> Iterator[None]:
    """Says which sizes of a configuration to lower when the memory of the CPU or of a GPU does not suffice.

    Args:
        config: Plain and fully resolved.
        sizes: What takes memory, by the keys that one types; None is what does in training.
        advice: What to change.

    Raises:
        ConfigError: If what runs inside is out of memory.
    """
    try:
        yield
    except Exception as error:
        reason = _lack_of_memory(error)
        if reason is None:
            raise
        data, model = config["data"], config["model"]
        name = model.get("backbone", model).get("name") or model.get("backbone", model)["_target_"].rpartition(".")[2]
        sizes = {f"data.{key}": data.get(key) for key in SIZES} if sizes is None else sizes
        typed = ", ".join(f"{key}={'null' if value is None else value}" for key, value in sizes.items())
        raise ConfigError(f"There is not enough memory: {reason}. The sizes are {typed}, the model is {name}. {advice}") from error


def _lack_of_memory(error: BaseException | None) -> str | None:
    """What a lack of memory says of itself, if an exception or what it comes from is one."""
    while error is not None:
        # torch.OutOfMemoryError is a RuntimeError, and NumPy's error a MemoryError.
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))):
            asked = re.search(r"allocate ([\d.]+ \w+)", str(error))
            return f"{asked[1]} are too many" if asked else (str(error).splitlines() or ["a MemoryError"])[0].rstrip(".")
        error = error.__cause__
    return None
