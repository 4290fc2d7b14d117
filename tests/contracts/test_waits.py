"""Training steps queue work for the device and never wait for what it computes."""

import pytest
import torch
from small_runs import METHODS, compose
from torch.utils._python_dispatch import TorchDispatchMode

from acclimate.training import assembly
from acclimate.training.callbacks import nonfinite

# What needs a number, or the size of something, that only the device knows.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim", "unique_consecutive", "is_nonzero"}
# Methods that wait, each for a reason.
WAIT = {
    "deep_jdot": "solves the transport on the processor",
    "shot": "labels all images anew, a few times in a training",
    "tent": "looks for a collapse after each batch",
    "ada_bn": "torch averages statistics by a number of batches that it keeps on the device",
}


class Waits(TorchDispatchMode):
    """Names the operations inside that would wait for a GPU, wherever they run."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = function.overloadpacket.__name__
        result = function(*arguments, **(keywords or {}))
        leaves = name == "_to_copy" and arguments[0].device.type != "cpu" and result.device.type == "cpu"
        masks = [index.dtype for index in arguments[1] if index is not None] if name in ("index", "index_put_", "index_put") else []
        if name in WAITING or leaves or torch.bool in masks:
            self.found.add(name)
        return result


@pytest.mark.parametrize("name", METHODS)
def test_no_step_waits_for_the_device(archives, tmp_path, monkeypatch, name):
    # As on a GPU.
    monkeypatch.setattr(nonfinite, "_runs_ahead", lambda device: True)
    parts = assembly.build(compose(tmp_path, *archives, f"method={name}", "trainer.max_steps=3", "callbacks={}"))
    waits, step = Waits(), parts.method.training_step

    def watched(batch, batch_idx):
        with waits:
            return step(batch, batch_idx)

    parts.method.training_step = watched
    parts.trainer.fit(parts.method, parts.data)
    assert parts.method.batches_done == 3
    assert bool(waits.found) == (name in WAIT), waits.found


def test_what_waits_is_found():
    with Waits() as waits:
        values = torch.arange(3.0)
        values.sum().item()
        values[values > 1]
        assert values.nonzero().shape == (2, 1)
    assert waits.found == {"_local_scalar_dense", "index", "nonzero"}
