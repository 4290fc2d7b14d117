"""Gradual unfreezing: which stages train when, and what the frozen ones keep."""

import copy

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from single_steps import RATE, deep_classifier, tiny_batch, tiny_method
from small_runs import compose
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.methods.gradual_unfreeze import GradualUnfreeze
from acclimate.models.stages import stages
from acclimate.training import assembly, run

LABELLED = tiny_batch()._replace(target=None)


def gradual(**options):
    return tiny_method(GradualUnfreeze, classifier=deep_classifier, **options)


def moved(before, classifier):
    return {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(("progress", "first"), [(0.0, 9), (0.19, 9), (0.2, 6), (0.39, 6), (0.4, 3), (0.59, 3), (0.6, 0), (1.0, 0)])
def test_step_is_that_of_the_paper(progress, first):
    """The head alone, then also the layers of the body from so many on; what is before them is as in evaluation."""
    method = gradual(progress=progress, unfrozen_at=0.6)
    twin = copy.deepcopy(method.classifier)
    frozen, trained = twin.backbone.body[:first].eval(), twin.backbone.body[first:]
    with torch.no_grad():
        inputs = frozen((LABELLED.source.inputs - twin.backbone.mean) / twin.backbone.std)
    loss = F.cross_entropy(twin.head(twin.bottleneck(trained(inputs))), LABELLED.source.labels)
    learning = [*trained.parameters(), *twin.bottleneck.parameters(), *twin.head.parameters()]
    with torch.no_grad():
        for parameter, gradient in zip(learning, torch.autograd.grad(loss, learning), strict=True):
            parameter.sub_(RATE * gradient)

    optimizer = method.configure_optimizers()["optimizer"]
    method.training_step(LABELLED, 0).backward()
    optimizer.step()
    assert method.logged["loss/classification"] == pytest.approx(loss.item())
    torch.testing.assert_close(method.classifier.state_dict(), twin.state_dict(), rtol=1e-9, atol=1e-12)


def test_weight_decay_and_momentum_do_not_move_frozen_stages():
    method = gradual(progress=0.0)
    method.make_optimizer = lambda groups: torch.optim.SGD(groups, lr=RATE, momentum=0.9, weight_decay=0.1)
    before = copy.deepcopy(method.classifier.state_dict())
    optimizer = method.configure_optimizers()["optimizer"]
    for _ in range(3):
        optimizer.zero_grad()
        method.training_step(LABELLED, 0).backward()
        optimizer.step()
    assert not {name for name in moved(before, method.classifier) if name.startswith("backbone")}
    assert {"bottleneck.0.weight", "head.weight"} <= moved(before, method.classifier)


def test_frozen_stages_stay_frozen_after_an_evaluation():
    method = gradual(progress=0.0)
    method.training_step(LABELLED, 0)
    before = copy.deepcopy(method.classifier.state_dict())
    method.eval()
    method.train()
    method.training_step(LABELLED, 0)
    assert not {name for name in moved(before, method.classifier) if name.startswith("backbone")}


class NumTrained(Callback):
    """Notes after each batch how many stages had a gradient."""

    def __init__(self):
        self.with_gradient = []

    def on_after_backward(self, trainer, method):
        found = stages(method.classifier.backbone.body)
        self.with_gradient.append(sum(any(p.grad is not None for p in stage.parameters) for stage in found))


def test_stages_join_at_equal_shares_of_a_whole_run(archives, tmp_path):
    """Also across validations, after which Lightning puts the layers back into training."""
    options = (
        "method=gradual_unfreeze",
        "method.unfrozen_at=0.6",
        "trainer.max_epochs=2",
        "callbacks={}",
        "trainer.check_val_every_n_epoch=1",
    )
    parts = assembly.build(compose(tmp_path, *archives, *options))
    noted = NumTrained()
    parts.trainer.callbacks.append(noted)
    parts.trainer.fit(parts.method, parts.data)
    # Ten batches: stages join at .2, .4 and .6 of the run.
    assert noted.with_gradient == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3]
    norms = [layer for layer in parts.method.classifier.backbone.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert [int(norm.num_batches_tracked) for norm in norms] == [4, 6, 8]


def test_a_backbone_that_is_frozen_already_stays_so():
    method = gradual(backbone_rate=0.0)
    for batches_done in (0, method.total_batches):
        method.batches_done = batches_done
        method.training_step(LABELLED, 0)
        assert not any(parameter.requires_grad for parameter in method.classifier.backbone.parameters())
        assert not any(layer.training for layer in method.classifier.backbone.modules())


def test_rates_by_depth_combine_with_it():
    groups = gradual(backbone_rate=1.0, layer_decay=0.5, progress=0.0).parameter_groups()
    assert [group["rate"] for group in groups] == [0.125, 0.25, 0.5, 1.0]


def test_weights_that_low_rank_updates_keep_are_not_thawed(archives, tmp_path):
    with pytest.raises(ConfigError, match=r"model\.lora_rank=null"):
        assembly.build(compose(tmp_path, *archives, "method=gradual_unfreeze", "model.lora_rank=2"))


def test_momentum_of_the_default_sgd_begins_when_a_stage_thaws(archives, tmp_path):
    """The fused step fails where only some weights have a momentum."""
    metrics = run.train(compose(tmp_path, *archives, "method=gradual_unfreeze", "optimizer=sgd", "trainer.max_epochs=2"))
    assert metrics["train/steps"] == 10
