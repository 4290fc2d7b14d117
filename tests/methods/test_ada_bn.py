"""AdaBN: the statistics of the target in every layer, and nothing else."""

import copy

import pytest
import torch
from single_steps import tiny_batch, tiny_method
from small_runs import compose, differences, train_and_stop, trained_state

from acclimate.errors import ConfigError, Interrupted
from acclimate.methods.ada_bn import AdaBn
from acclimate.methods.tent import Tent
from acclimate.models.batch_norm import batch_norms
from acclimate.training import assembly, run

STATISTICS = ("running_mean", "running_var")


def target_batches(*sizes):
    return [tiny_batch(0, size) for size in sizes]


def ada_bn(**options):
    method = tiny_method(AdaBn, progress=0.0, **options)
    method.batch_norm = "joint"
    return method


@pytest.mark.parametrize("sizes", [(4,), (4, 8), (3, 3, 7)])
def test_statistics_are_the_means_over_batches_in_every_layer(sizes):
    method, batches = ada_bn(), target_batches(*sizes)
    twin, seen = copy.deepcopy(method.classifier), {}
    for layer in batch_norms(twin):
        # Normalises by the batch alone, and what comes in is noted.
        layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
        layer.register_forward_hook(lambda layer, inputs, output: seen.setdefault(layer, []).append(inputs[0].detach()))
    for batch in batches:
        twin(batch.target.views[0])
    method.start_over()
    for batch in batches:
        method.training_step(batch, 0)
    for found, layer in zip(batch_norms(method.classifier), batch_norms(twin), strict=True):
        channels = [inputs.movedim(1, 0).flatten(start_dim=1) for inputs in seen[layer]]
        torch.testing.assert_close(found.running_mean, torch.stack([rows.mean(dim=1) for rows in channels]).mean(dim=0))
        torch.testing.assert_close(found.running_var, torch.stack([rows.var(dim=1) for rows in channels]).mean(dim=0))


def test_nothing_but_statistics_changes(archives, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives, "method=ada_bn", "trainer.max_epochs=2", "callbacks={}"))
    before = copy.deepcopy(parts.method.state_dict())
    parts.trainer.fit(parts.method, parts.data)
    after = parts.method.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name]) and not name.endswith("num_batches_tracked")}
    assert changed == {name for name in before if name.endswith(STATISTICS)}
    # 17 images but for those of validation, in batches of 3, twice.
    assert parts.trainer.global_step == parts.method.batches_done == 10
    # Those of the source are forgotten.
    assert {int(layer.num_batches_tracked) for layer in batch_norms(parts.method.classifier)} == {10}


def test_a_step_is_a_batch_so_runs_end_and_validate_by_steps(archives, tmp_path):
    options = ("trainer.max_steps=7", "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=4")
    metrics = run.train(compose(tmp_path, *archives, "method=ada_bn", *options))
    assert metrics["train/steps"] == 7
    assert metrics["selection/step"] in (4, 7)


def test_stopped_run_counts_on(archives, tmp_path):
    options = (*archives, "method=ada_bn", "trainer.max_epochs=2", "data.target_views=[shift]")
    run.train(compose(tmp_path / "whole", *options))
    config = compose(tmp_path / "stopped", *options)
    with pytest.raises(Interrupted):
        train_and_stop(config, hook="on_train_batch_end", batches=3)
    run.train({**config, "resume": True})
    assert differences(trained_state(tmp_path / "whole"), trained_state(tmp_path / "stopped")) == []


def test_statistics_of_a_frozen_backbone_stay(archives, tmp_path):
    options = ("model.freeze=backbone", "trainer.max_epochs=1", "callbacks={}")
    parts = assembly.build(compose(tmp_path, *archives, "method=ada_bn", *options))
    before = copy.deepcopy(parts.method.state_dict())
    parts.trainer.fit(parts.method, parts.data)
    changed = {name for name, value in parts.method.state_dict().items() if not torch.equal(before[name], value)}
    assert changed - {"classifier.bottleneck.1.num_batches_tracked"} == {f"classifier.bottleneck.1.{name}" for name in STATISTICS}


@pytest.mark.parametrize("options", [("method.batch_norm=frozen",), ("model.freeze=backbone", "model.bottleneck=null")])
def test_a_model_without_statistics_that_may_change_is_refused(archives, tmp_path, options):
    with pytest.raises(ConfigError, match="no batch norm that is not frozen"):
        assembly.build(compose(tmp_path, *archives, "method=ada_bn", *options))


def test_terms_are_refused():
    with pytest.raises(ConfigError, match="minimises none"):
        ada_bn(terms={"confusion": lambda logits: logits.sum()})


@pytest.mark.parametrize("option", [{"backbone_rate": 0.5}, {"layer_decay": 0.7}])
@pytest.mark.parametrize("method", [AdaBn, Tent])
def test_learning_rates_of_layers_are_refused_because_they_would_have_no_effect(method, option):
    (key,) = option
    with pytest.raises(ConfigError, match=rf"only changes batch norm.* Type method\.{key}=null\."):
        tiny_method(method, **option)
    tiny_method(method, **{key: None})
