"""Memory: faster reuse between steps, and messages about a lack of it."""

import atexit
import ctypes
import gc
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from acclimate.errors import ConfigError

# Constants of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
SIZES = ("batch_size", "target_batch_size", "eval_batch_size", "image_size", "num_workers")
ADVICE = "Lower data.batch_size, data.target_batch_size and data.eval_batch_size, then data.image_size, or choose a smaller model."
# Messages of torch about CPUs, about GPUs, about sizes beyond 64 bits, and about a worker killed by the system.
_OUT_OF_MEMORY = re.compile(
    r"DefaultCPUAllocator|not enough memory|out of memory|Storage size calculation overflowed|integer multiplication overflow"
    r"|DataLoader worker .* killed by signal: (?:Killed|Bus error)"
)


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for the next step instead of returning it to the system.

    Otherwise glibc maps each large block again and the system fills it with zeros page by page, which takes a tenth of a
    step of a ResNet-50. The process keeps its peak memory until it ends.

    Returns:
        True if the C library supports it, which glibc does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, 2**31 - 1)])


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Context manager for imports that keeps the garbage collector from searching half a million objects, now and later.

    These searches take a second of the imports of torch and Lightning, and a third of a second each time in training. What exists
    at the end of the block stays until the process ends. Does nothing if torch has already been imported.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        # Extensions complain of objects that are left at the end.
        atexit.register(gc.unfreeze)


def model_name(config: Mapping[str, Any]) -> str:
    """Return the name of the backbone that a configuration trains, such as resnet50."""
    backbone = config["model"].get("backbone", config["model"])
    return str(backbone.get("name") or backbone["_target_"].rpartition(".")[2])


@contextmanager
def explain_out_of_memory(config: Mapping[str, Any], sizes: Mapping[str, Any] | None = None, advice: str = ADVICE) -> Iterator[None]:
    """Context manager that explains which sizes of a configuration to lower if the CPU or a GPU runs out of memory.

    Args:
        config: The plain, fully resolved configuration.
        sizes: Settings that determine the memory, by their keys; None: those of training.
        advice: The advice at the end of the message.

    Raises:
        ConfigError: If the block runs out of memory.
    """
    try:
        yield
    except Exception as error:
        reason = _lack_of_memory(error)
        if reason is None:
            raise
        data, name = config["data"], model_name(config)
        sizes = {f"data.{key}": data[key] for key in SIZES if key in data} if sizes is None else sizes
        # Only images have a size.
        advice = advice if "image_size" in data else advice.replace(", then data.image_size", "")
        typed = ", ".join(f"{key}={'null' if value is None else value}" for key, value in sizes.items())
        raise ConfigError(f"There is not enough memory: {reason}. The sizes are {typed}, the model is {name}. {advice}") from error


def _lack_of_memory(error: BaseException | None) -> str | None:
    """Return the reason for a lack of memory, if an exception or one of its causes is about that."""
    while error is not None:
        # torch.OutOfMemoryError is a RuntimeError, and NumPy raises a MemoryError.
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))):
            asked = re.search(r"allocate ([\d.]+ \w+)", str(error))
            return f"{asked[1]} are too many" if asked else (str(error).splitlines() or ["a MemoryError"])[0].rstrip(".")
        error = error.__cause__
    return None
