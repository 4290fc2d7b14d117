"""That training on a CPU does not give memory back in one step which it takes again in the next."""

import subprocess
import sys

import pytest
from small_runs import compose

from acclimate import run
from acclimate.memory import keep_freed_memory

# In a process of its own, since what it changes lasts.
PAGES_TAKEN_ANEW = """
import ctypes, resource, sys
from acclimate.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
size = 64 * 2**20
def take():
    block = ctypes.c_void_p(library.malloc(ctypes.c_size_t(size)))
    library.memset(block, 1, ctypes.c_size_t(size))
    library.free(block)
take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="only glibc can")
def test_what_is_freed_is_taken_again_without_the_system():
    pages = {
        way: int(subprocess.run([sys.executable, "-c", PAGES_TAKEN_ANEW, way], check=True, capture_output=True, text=True).stdout)
        for way in ("keep", "give back")
    }
    # Of 2 MiB on systems that take large ones.
    assert pages["keep"] < 10 < 100 < pages["give back"]


def test_a_run_on_a_cpu_keeps_what_it_frees(archives, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(run, "keep_freed_memory", lambda: calls.append("kept"))
    run.build(compose(tmp_path, *archives))
    assert calls == ["kept"]
