"""MCD."""

import copy

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, attach_optimizer, descend, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.methods.mcd import Mcd


def algorithm(method, batch, *, num_feature_steps):
    """Saito et al., CVPR 2018: step B, then C as often as asked; what A minimises is returned."""
    backbone, heads = method.classifier, [method.classifier.head, method.second_head]
    in_heads = [parameter for head in heads for parameter in head.parameters()]
    in_features = [parameter for name, parameter in backbone.named_parameters() if not name.startswith("head.")]

    def classifications():
        return [F.cross_entropy(head(backbone(batch.source.inputs).features), batch.source.labels) for head in heads]

    def discrepancy():
        features = backbone(batch.target.views[0]).features
        first, second = (F.softmax(head(features), dim=1) for head in heads)
        return sum((first[:, k] - second[:, k]).abs().mean() for k in range(first.shape[1])) / first.shape[1]

    descend(sum(classifications()) - discrepancy(), in_heads)
    for _ in range(num_feature_steps):
        descend(discrepancy(), in_features)
    first, second = classifications()
    return Objectives({"classification": first, "second_classification": second}, first + second, first + second)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize("num_feature_steps", [1, 4])
def test_step_is_that_of_the_paper(sizes, num_feature_steps):
    method = tiny_method(Mcd, num_feature_steps=num_feature_steps)
    assert_same_step(method, tiny_batch(*sizes), lambda *arguments: algorithm(*arguments, num_feature_steps=num_feature_steps))


class Steps:
    """Writes down of each extra step which parameters it takes and what it minimises, and takes it."""

    def __init__(self, method):
        self.method, self.taken, self.take = method, [], method.extra_step
        attach_optimizer(method)
        method.extra_step = self.note

    def note(self, loss, parameters):
        chosen = {id(parameter) for parameter in parameters}
        names = {name for name, parameter in self.method.named_parameters() if id(parameter) in chosen}
        self.taken.append((names, float(loss)))
        self.take(loss, [parameter for parameter in self.method.parameters() if id(parameter) in chosen])


def test_heads_and_features_never_train_in_the_same_extra_step():
    method = tiny_method(Mcd, num_feature_steps=3)
    steps = Steps(method)
    method.training_step(tiny_batch(), 0)
    heads = {"classifier.head.weight", "classifier.head.bias", "second_head.weight", "second_head.bias"}
    features = {name for name, _ in method.named_parameters()} - heads
    assert [names for names, _ in steps.taken] == [heads, features, features, features]


def test_features_lower_the_discrepancy_that_heads_raise():
    method, batch = tiny_method(Mcd, num_feature_steps=2), tiny_batch()
    steps = Steps(method)
    before = float(method.discrepancy(method.target_features(batch.source.inputs, batch.target.inputs)))
    method.take_turns(batch.source, batch.target)
    raised, lowered = (loss for _, loss in steps.taken[1:])
    assert raised > before
    assert lowered < raised
    assert method.logged["adaptation/discrepancy"] == raised


@pytest.mark.parametrize("batch_norm", ["joint", "separate", "frozen"])
def test_steps_normalise_the_target_as_the_policy_says(batch_norm):
    method, batch = tiny_method(Mcd), tiny_batch()
    method.batch_norm = batch_norm
    method.train()
    _, target = method.passes(batch)[:2]
    torch.testing.assert_close(method.target_features(batch.source.inputs, batch.target.inputs), target.features)


@pytest.mark.parametrize(("batch_norm", "passes"), [("separate", 2 + 3 + 2), ("frozen", 1 + 3 + 1), ("joint", 1 + 3 + 1)])
def test_no_pass_is_made_in_vain(batch_norm, passes):
    method, batch, seen = tiny_method(Mcd, num_feature_steps=4), tiny_batch(7, 4), []
    method.batch_norm = batch_norm
    method.train()
    attach_optimizer(method)
    method.classifier.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    method.training_step(batch, 0)
    assert len(seen) == passes
    assert sum(seen) == 2 * (7 + 4) + 3 * (7 + 4 if batch_norm == "joint" else 4)


def test_labelled_target_inputs_train_both_heads():
    method, few = tiny_method(Mcd), tiny_batch(3, 1).source
    attach_optimizer(method)
    method.training_step(tiny_batch()._replace(target_labelled=few), 0)
    features = method.passes(tiny_batch()._replace(target_labelled=few)).labelled_target.features
    expected = sum(F.cross_entropy(head(features), few.labels) for head in (method.classifier.head, method.second_head))
    assert method.logged["loss/target_classification"] == pytest.approx(expected.item())


@pytest.mark.parametrize("batch_norm", ["joint", "separate", "frozen"])
def test_extra_passes_leave_the_running_statistics_alone(batch_norm):
    method, batch = tiny_method(Mcd), tiny_batch()
    method.batch_norm = batch_norm
    method.train()
    attach_optimizer(method)
    before = copy.deepcopy(dict(method.named_buffers()))
    method.training_step(batch, 0)
    tracked = int(method.classifier.bottleneck[1].num_batches_tracked)
    assert tracked == (0 if batch_norm == "frozen" else 1)
    if batch_norm == "frozen":
        torch.testing.assert_close(dict(method.named_buffers()), before, rtol=0, atol=0)


def test_running_statistics_are_those_of_the_pass_that_the_losses_see():
    method, batch = tiny_method(Mcd), tiny_batch()
    attach_optimizer(method)
    method.training_step(batch, 0)
    found = method.classifier.backbone.body[1].running_mean
    # No weight has changed since the pass: the optimizer's last step is still to come.
    target = (batch.target.views[0] - method.classifier.backbone.mean) / method.classifier.backbone.std
    torch.testing.assert_close(found, 0.1 * method.classifier.backbone.body[0](target).mean(dim=(0, 2, 3)))


def test_heads_start_differently():
    method = tiny_method(Mcd)
    assert method.second_head.weight.shape == method.classifier.head.weight.shape
    assert (method.second_head.weight != method.classifier.head.weight).all()


def test_second_head_learns_at_the_rate_of_the_first():
    groups = {group["name"]: group["rate"] for group in tiny_method(Mcd, backbone_rate=0.1).parameter_groups()}
    assert groups == {"backbone": 0.1, "head": 1.0, "method": 1.0}


def test_predictions_are_those_of_the_classifier_s_own_head():
    method, batch = tiny_method(Mcd).eval(), tiny_batch()
    images = batch.source.inputs
    torch.testing.assert_close(method.predict_step(batch.source, 0).logits, method.classifier.head(method.classifier(images).features))
