"""Work that a training step avoids, because it costs as much as the arithmetic of a small network."""

import os

import pytest
import torch
from small_runs import compose

from acclimate.methods.base import Method
from acclimate.models import batch_norm
from acclimate.training import assembly
from acclimate.training.profiler import NoProfiler


@pytest.fixture
def build(archives, tmp_path):
    return lambda *overrides: assembly.build(compose(tmp_path, *archives, *overrides))


def test_hooks_are_profiled_only_if_that_is_asked_for(build):
    assert type(build().trainer.profiler) is NoProfiler
    assert type(build("trainer.profiler=null").trainer.profiler) is NoProfiler
    assert type(build("trainer.profiler=simple").trainer.profiler).__name__ == "SimpleProfiler"


def test_values_are_computed_only_in_steps_that_are_logged(build, monkeypatch):
    parts = build("method=source_only", "trainer.max_epochs=1", "trainer.log_every_n_steps=2")
    steps = []
    losses = Method.losses

    def logging(self, source, target):
        self.log("adaptation/step", lambda: steps.append(self.batches_done) or torch.tensor(0.0))
        return losses(self, source, target)

    monkeypatch.setattr(Method, "losses", logging)
    parts.trainer.fit(parts.method, parts.data)
    # The last step of an epoch is for the validation that follows.
    assert steps == [1, 3, 4]


def test_a_frozen_backbone_is_not_searched_for_batch_norm(build, monkeypatch):
    classifier = build("model.freeze=backbone").method.classifier
    searched = []
    monkeypatch.setattr(batch_norm, "batch_norms", lambda module: searched.append(module) or [])
    with batch_norm.fixed_statistics(classifier):
        assert searched and classifier.backbone not in searched


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_driver_of_a_gpu_is_not_searched_for_in_each_step(build, monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    build()
    assert "PYTORCH_NVML_BASED_CUDA_CHECK" not in os.environ


def test_batches_on_the_processor_stay_as_they_are(build):
    data = build().data
    batch = next(iter(data.train_dataloader()))
    assert data.transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch
    assert data.transfer_batch_to_device(batch, torch.device("meta"), 0).source.inputs.is_meta


def test_what_is_frozen_is_not_checked_and_not_set_in_each_validation(build, monkeypatch):
    method = build("method=dann", "model.freeze=backbone", "model.bottleneck=4").method
    names = {name for name in method.state_dict() if not name.startswith("classifier.backbone.")}
    assert names == method.changing_state().keys() == {name for name in method.state_dict() if not method.is_fixed(name)}
    monkeypatch.setattr(method.classifier.backbone, "train", lambda mode: pytest.fail("set the mode of a frozen backbone"))
    for mode in (False, True):
        method.train(mode)
        assert [module.training for module in (method.classifier, method.classifier.head, method.classifier.backbone)] == [
            mode,
            mode,
            False,
        ]


def test_everything_else_may_change(build):
    method = build("method=dann").method
    assert method.changing_state().keys() == method.state_dict().keys()
    assert not any(map(method.is_fixed, method.state_dict()))
