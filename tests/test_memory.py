"""That training on a CPU does not give memory back in one step which it takes again in the next."""

import subprocess
import sys

import pytest
from small_runs import compose

from acclimate import run
from acclimate.memory import keep_freed_memory

# In a process of its own, since what it changes lasts.
PAGES_TAKEN_ANEW = """
import resource, sys, torch
from torch import nn
from acclimate.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
layers = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.BatchNorm2d(32), nn.ReLU())
images = torch.rand(64, 3, 64, 64)
def steps(number):
    for _ in range(number):
        layers(images).mean().backward()
steps(2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
steps(5)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="only glibc can")
def test_what_is_freed_is_taken_again_without_the_system():
    pages = {
        way: int(subprocess.run([sys.executable, "-c", PAGES_TAKEN_ANEW, way], check=True, capture_output=True, text=True).stdout)
        for way in ("keep", "give back")
    }
    assert pages["keep"] < pages["give back"] / 3


def test_a_run_on_a_cpu_keeps_what_it_frees(archives, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(run, "keep_freed_memory", lambda: calls.append("kept"))
    run.build(compose(tmp_path, *archives))
    assert calls == ["kept"]
