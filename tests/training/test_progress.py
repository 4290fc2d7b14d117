"""The numbers, the speed and the time left of a training."""

import time
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.callbacks import Timer

from acclimate.training.progress import Progress


@pytest.fixture
def progress(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    trainer = SimpleNamespace(accumulate_grad_batches=2, callback_metrics={}, callbacks=[])
    method = SimpleNamespace(batches_done=20, total_batches=200)
    progress = Progress(trainer, method)
    progress.now = now
    return progress


def test_steps_are_counted_from_where_a_resumed_run_continues(progress):
    assert (progress.step, progress.total, progress.pace()) == (10, 100, [])
    progress.method.batches_done, progress.now[0] = 60, 10.0
    assert (progress.step, progress.pace()) == (30, ["2.0 steps/s", "0:35 left"])
    progress.now[0] = 0.1
    assert progress.pace() == ["200 steps/s", "0:00 left"]


def test_a_limit_of_time_ends_the_training_earlier(progress):
    timer = Timer(duration={"minutes": 1})
    timer._start_time["train"], progress.now[0] = 0.0, 50.0
    timer.time_remaining = lambda: 10.0
    progress.trainer.callbacks = [timer]
    progress.method.batches_done = 40
    assert progress.pace() == ["0.2 steps/s", "0:10 left"]


def test_the_loss_stands_in_for_metrics_before_the_first_validation(progress):
    metrics = progress.trainer.callback_metrics
    assert progress.numbers() == []
    metrics["loss/total"] = torch.tensor(1.5)
    assert progress.numbers() == ["loss 1.500"]
    metrics |= {
        "source/val_accuracy": torch.tensor(0.75),
        "selection/value": torch.tensor(-0.5),
        "adaptation/domain_accuracy": torch.tensor(0.5),
    }
    assert progress.numbers() == ["source accuracy 0.750", "score -0.500", "domain accuracy 0.50"]
