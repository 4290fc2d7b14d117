"""LoRA joins every method: the backbone learns by updates of low rank alone."""

import pytest
import torch
from small_runs import METHODS, SELF_SUPERVISED, compose

from acclimate.training import assembly, run

SETTING = ("model.lora_rank=2", "model.bottleneck=8", "optimizer.weight_decay=0", "callbacks={}")

# They train no backbone, its weights, its batch norm alone, or nothing.
WITHOUT = ("linear_probe", "gradual_unfreeze", "tent", "ada_bn")
# The head is what it has of the source, or waits for another method.
KEEPS_HEAD = ("shot", *SELF_SUPERVISED)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in WITHOUT])
def test_every_method_trains_the_updates_and_leaves_the_backbone_s_weights_alone(archives, tmp_path, method):
    parts = assembly.build(compose(tmp_path, *archives, f"method={method}", *SETTING, "trainer.max_steps=3"))
    classifier = parts.method.classifier
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    parts.trainer.fit(parts.method, parts.data)
    moved = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    updates = {name for name in before if name.endswith((".down", ".up"))}
    assert len(updates) == 6
    assert updates | {"bottleneck.0.weight"} | ({"head.weight"} if method not in KEEPS_HEAD else set()) <= moved
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert not {name for name in moved - updates if name.startswith("backbone.") and not name.endswith(statistics)}


def test_frozen_backbone_learns_no_updates(archives, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives, "method=linear_probe", *SETTING))
    assert not any(parameter.requires_grad for parameter in parts.method.classifier.backbone.parameters())


@pytest.mark.parametrize(("options", "expected"), [((), 1.0), (("method.backbone_rate=0.5",), 0.5)])
def test_updates_of_a_pretrained_backbone_are_not_slowed_unless_asked_for(archives, tmp_path, options, expected):
    run.train(compose(tmp_path, *archives, "method=source_only", "trainer.max_steps=1"))
    weights = f"model.weights={tmp_path / 'checkpoints' / 'best.ckpt'}"
    rates = {}
    for rank in ("null", "2"):
        parts = assembly.build(compose(tmp_path / rank, *archives, "method=dann", weights, f"model.lora_rank={rank}", *options))
        rates[rank] = parts.method.backbone_rate
    assert rates == {"null": expected if options else 0.1, "2": expected}


def test_statistics_of_lora_stay_those_of_the_pretrained_model(archives, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives, "method=lora", "trainer.max_steps=3", "callbacks={}"))
    before = {name: value.clone() for name, value in parts.method.classifier.backbone.named_buffers()}
    parts.trainer.fit(parts.method, parts.data)
    assert all(torch.equal(value, before[name]) for name, value in parts.method.classifier.backbone.named_buffers())
