"""Training on a GPU: every method works, resumes exactly, and does not synchronise with the device in its steps."""

import math
import warnings

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from small_runs import METHODS, compose, differences, train_and_stop, trained_state

from acclimate.errors import Interrupted
from acclimate.training import run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

RANDOM = ("data.source_view=shift", "data.target_views=[shift]", "model.dropout=0.3")
# Every kind of step: one optimizer step or several, terms with a second view, banks, and averages of weights.
KINDS = ["dann", "cdan_e", "dann_mcc_fixmatch", "mcd", "adda", "mean_teacher", "jan", "mdd"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(archives, tmp_path, method):
    metrics = run.train(compose(tmp_path, *archives, f"method={method}", "trainer=gpu", "trainer.max_epochs=1"))
    assert all(math.isfinite(value) for value in metrics.values() if isinstance(value, float))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("method", KINDS)
def test_a_stopped_deterministic_run_continues_bit_for_bit(archives, tmp_path, method, precision):
    options = (f"method={method}", "trainer=gpu", f"trainer.precision={precision}", "+trainer.deterministic=true", "trainer.max_epochs=3")
    run.train(compose(tmp_path / "whole", *archives, *RANDOM, *options))
    config = compose(tmp_path / "stopped", *archives, *RANDOM, *options)
    with pytest.raises(Interrupted):
        train_and_stop(config, hook="on_train_batch_end", batches=7)
    run.train({**config, "resume": True})
    assert differences(trained_state(tmp_path / "whole"), trained_state(tmp_path / "stopped")) == []


class Waits(Callback):
    """Callback that warns of operations that make the processor wait for the device, in steps that are not logged: an epoch has 5."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if pl_module.batches_done == self.first:
            torch.cuda.set_sync_debug_mode("warn")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.batches_done == self.last:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("method", ["source_only", "dann", "cdan_e", "dann_mcc_fixmatch", "mcd", "deep_coral", "dan"])
def test_steps_do_not_wait_for_the_device(archives, tmp_path, method):
    waits = {"_target_": f"{__name__}.Waits", "first": 6, "last": 8}
    config = compose(tmp_path, *archives, f"method={method}", "trainer=gpu", "trainer.max_epochs=3", "trainer.log_every_n_steps=100")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.train(
            {**config, "callbacks": {"waits": waits, **config["callbacks"]}, "trainer": {**config["trainer"], "check_val_every_n_epoch": 3}}
        )
    assert [str(warning.message) for warning in caught if str(warning.message).startswith("called a synchronizing")] == []
