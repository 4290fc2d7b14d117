"""That training on a CPU does not give memory back in one step which it takes again in the next."""

import gc
import re
import subprocess
import sys

import pytest
import torch
from small_runs import compose, write_photographs

from acclimate.data.vectors.vector_tables import VectorTables
from acclimate.errors import ConfigError
from acclimate.memory import explain_out_of_memory, keep_freed_memory, lasting_imports
from acclimate.models.backbones.image import ImageBackbone
from acclimate.training import assembly, run

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


def test_the_garbage_collector_searches_nothing_during_the_first_imports_and_not_what_they_leave(monkeypatch):
    collects = []
    monkeypatch.setattr(gc, "freeze", lambda: collects.append(gc.isenabled()))
    with lasting_imports():
        assert gc.isenabled()
    monkeypatch.delitem(sys.modules, "torch")
    with pytest.raises(ImportError), lasting_imports():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
    assert collects == [False]


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
    monkeypatch.setattr(assembly, "keep_freed_memory", lambda: calls.append("kept"))
    assembly.build(compose(tmp_path, *archives))
    assert calls == ["kept"]


def test_sizes_and_keys_are_named_when_memory_does_not_suffice(archives, tmp_path):
    with pytest.raises(ConfigError) as caught:
        run.train(compose(tmp_path, *archives, "method=dann", "data.image_size=1000000", "data.batch_size=5"))
    message = str(caught.value)
    assert message.startswith("There is not enough memory: ")
    for part in ("data.batch_size=5, data.target_batch_size=3", "data.image_size=1000000", "small_cnn", "Lower data.batch_size"):
        assert part in message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 1 GiB free."), "20.00 GiB are too many"),
        (MemoryError("Unable to allocate 7.11 PiB for an array with shape (3,)"), "7.11 PiB are too many"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "is killed by signal: Killed"),
        (MemoryError(), "a MemoryError"),
    ],
)
def test_every_kind_of_lack_of_memory_is_recognised(error, reason):
    config = {"data": {"batch_size": 2}, "model": {"_target_": "mine.Model"}}
    with pytest.raises(ConfigError, match=reason) as caught, explain_out_of_memory(config):
        raise error
    assert "the model is Model" in str(caught.value)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), explain_out_of_memory({}):
        raise RuntimeError("shapes do not fit")


def test_prediction_names_the_batch_size_that_needs_less(archives, tmp_path, monkeypatch, acclimate):
    run.train(compose(tmp_path / "run", *archives, "method=source_only", "trainer.max_steps=1"))
    write_photographs(tmp_path / "images")
    looked_at = []

    def forward(module, images):
        looked_at.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 1 GiB free.")
        return images.new_zeros(len(images), module.num_features, dtype=torch.float32)

    monkeypatch.setattr(ImageBackbone, "forward", forward)
    command = ("predict", "run=run", "inputs=images", "out=predictions.csv")
    code, message = acclimate(*command)
    assert code == 2
    assert message.startswith(
        "acclimate: There is not enough memory: 20.00 GiB are too many. The sizes are batch_size=8, the model is small_cnn."
    )
    advised = re.findall(r"batch_size=\d+", message)[-1]
    assert advised == "batch_size=4"
    assert acclimate(*command, "batch_size=4")[0] == 2
    assert acclimate(*command, "batch_size=2") == (0, "")
    # One image tries whether the model takes the size.
    assert set(looked_at) == {8, 4, 2, 1}
    assert acclimate(*command, "batch_size=0")[1].startswith("acclimate: batch_size=0 must be a whole number of inputs, at least 1.")


def test_ranking_names_the_sizes_that_need_less(archives, acclimate):
    code, message = acclimate("rank", *archives, "model=small_cnn", "data.image_size=1000000", "data.eval_batch_size=5")
    assert code == 2
    assert "There is not enough memory: " in message
    assert "The sizes are data.eval_batch_size=5, data.image_size=1000000, the model is small_cnn. Lower data.eval_batch_size" in message
    assert acclimate("rank", *archives, "model=small_cnn", "data.image_size=16", "data.eval_batch_size=2") == (0, "")


def test_only_images_have_a_size_to_lower(tables, tmp_path, acclimate, monkeypatch):
    def exhausted(*arguments, **keywords):
        raise MemoryError

    monkeypatch.setattr(VectorTables, "read", exhausted)
    with pytest.raises(ConfigError, match=r"Lower data.batch_size, data.target_batch_size and data.eval_batch_size, or") as caught:
        run.train(compose(tmp_path, *tables, "method=dann"))
    code, message = acclimate("rank", *tables, "model=mlp")
    assert (code, "The sizes are data.eval_batch_size=256, the model is mlp. Lower data.eval_batch_size, or" in message) == (2, True)
    assert "image_size" not in f"{caught.value}{message}"
