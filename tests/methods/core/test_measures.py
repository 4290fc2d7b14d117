"""Measures of the adaptation in a training step."""

import math

import pytest
import torch
from single_steps import tiny_batch, tiny_method, two_views
from small_runs import differences

from acclimate.losses.adversarial import accuracy_by_domain
from acclimate.methods.barlow_twins import BarlowTwins
from acclimate.methods.bsp import Bsp
from acclimate.methods.cdan import Cdan
from acclimate.methods.core.measures import gradient_norm, log_gradient_ratio, log_source_accuracy
from acclimate.methods.dann import Dann
from acclimate.types import Labelled, LabelledPass


@pytest.mark.parametrize("method", [Dann, Cdan, Bsp])
def test_the_accuracy_of_the_discriminator_is_logged_for_each_domain(method):
    method = tiny_method(method)
    method.training_step(tiny_batch(), 0)
    logged = {name: method.logged[f"adaptation/{name}"] for name in ("domain_accuracy", "source_domain_accuracy", "target_domain_accuracy")}
    assert logged["domain_accuracy"] == pytest.approx((logged["source_domain_accuracy"] + logged["target_domain_accuracy"]) / 2)


def test_accuracy_by_domain_by_hand():
    source, target = accuracy_by_domain(torch.tensor([[1.0], [-1.0], [2.0], [3.0], [-1.0]]), num_source=2)
    assert (source.item(), target.item()) == (0.5, pytest.approx(1 / 3))


def test_the_accuracy_on_training_inputs_is_that_of_the_batch():
    method, batch = tiny_method(Dann), tiny_batch()
    source = method.passes(batch).source
    expected = (source.logits.argmax(dim=1) == batch.source.labels).double().mean().item()
    method.training_step(batch, 0)
    assert method.logged["source/train_accuracy"] == pytest.approx(expected)


def test_of_soft_labels_the_largest_share_counts():
    method = tiny_method(Dann)
    logits, shares = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]), torch.tensor([[0.6, 0.4, 0.0], [0.5, 0.4, 0.1]])
    log_source_accuracy(method, LabelledPass([], shares, logits, logits))
    assert method.logged == {"source/train_accuracy": 0.5}


def test_without_source_labels_there_is_no_such_accuracy():
    method, batch = tiny_method(BarlowTwins), two_views()
    views = batch._replace(source=Labelled(batch.source.inputs, torch.empty(0), second_view=batch.source.inputs))
    method.training_step(views, 0)
    assert "loss/total" in method.logged
    assert "source/train_accuracy" not in method.logged


def test_gradient_norm_by_hand():
    features, other = torch.tensor([[3.0, 4.0]], requires_grad=True), torch.zeros(2, requires_grad=True)
    assert gradient_norm([features.square().sum(), features.sum()], [features, other]) == pytest.approx(math.hypot(7.0, 9.0))
    assert gradient_norm([torch.tensor(1.0)], [features]) == 0


@pytest.mark.parametrize("with_few", [False, True])
@pytest.mark.parametrize("batch_norm", ["joint", "separate", "frozen"])
def test_the_ratio_of_gradients_is_that_at_the_features_of_all_inputs(batch_norm, with_few):
    method, batch = tiny_method(Dann, terms={"size": lambda logits: logits.square().sum()}), tiny_batch(5, 3)
    method.batch_norm = batch_norm
    few = tiny_batch(2, 1).source if with_few else None
    outputs, _ = [], method.train()
    handle = method.classifier.dropout.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    losses = method.all_losses(batch._replace(target_labelled=few))
    handle.remove()
    task = [loss for name, loss in losses.items() if "classification" in name]
    adaptation = [losses[name] for name in ("domain", "size")]
    assert len(task) + len(adaptation) == len(losses)
    found = gradient_norm(adaptation, outputs) / gradient_norm(task, outputs)
    assert method.logged["adaptation/gradient_ratio"] == pytest.approx(found.item(), rel=1e-5)
    assert 0 < found < 100


def step(method):
    """Return the logged values and the gradients of a step."""
    method.training_step(tiny_batch(), 0).backward()
    return method.logged, [parameter.grad for parameter in method.parameters()]


def test_the_ratio_of_gradients_is_zero_without_alignment_and_grows_with_it():
    ratios = [step(tiny_method(Dann, max_reversal=strength))[0].get("adaptation/gradient_ratio") for strength in (0.0, 1.0, 2.0)]
    assert ratios[0] == 0
    assert ratios[2] == pytest.approx(2 * ratios[1], rel=1e-4)


def test_measuring_gradients_does_not_change_those_of_the_step():
    method = tiny_method(Dann)
    method.log = lambda *arguments, **options: None
    assert differences(step(method)[1], step(tiny_method(Dann))[1]) == []


def test_there_is_no_ratio_if_all_losses_are_of_the_task():
    method = tiny_method(Dann)
    source, target, _ = method.passes(tiny_batch())
    log_gradient_ratio(method, {"classification": source.logits.sum(), "second_classification": source.features.sum()}, source, target)
    assert method.logged == {}


def test_there_is_no_ratio_for_features_that_are_not_trained():
    method = tiny_method(Dann)
    source, target, _ = method.passes(tiny_batch())
    source, target = (part._replace(features=part.features.detach()) for part in (source, target))
    log_gradient_ratio(method, {"classification": source.logits.sum(), "domain": target.logits.sum()}, source, target)
    assert method.logged == {}
