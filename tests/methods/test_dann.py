import copy
import functools
import math

import pytest
import torch
from single_steps import NUM_FEATURES, RATE, passes_with, tiny_batch, tiny_classifier, with_extras
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from acclimate.losses.target_predictions import minimum_class_confusion
from acclimate.methods.dann import Dann
from acclimate.schedules import constant

PROGRESS = 0.3
STRENGTH = 2 / (1 + math.exp(-10 * PROGRESS)) - 1


def dann(**options):
    torch.manual_seed(0)
    method = Dann(tiny_classifier(), optimizer=functools.partial(torch.optim.SGD, lr=RATE), schedule=constant, **with_extras(options))
    method = method.double().train()
    method.total_batches, method.batches_done = 10, round(10 * PROGRESS)
    method.logged = {}
    method.log = lambda name, value, **_: method.logged.update({name: float(value() if callable(value) else value)})
    method.log_dict = lambda values, **_: method.logged.update({name: float(value) for name, value in values.items()})
    return method


def plain_step(classifier, discriminator, batch, batch_norm, temperature=None):
    """Ganin et al.'s algorithm in plain torch: the losses, and one step of gradient descent."""

    def predict(images):
        features = classifier.bottleneck(classifier.backbone.body((images - classifier.backbone.mean) / classifier.backbone.std))
        return features, classifier.head(features)

    source, target, num_source = batch.source.inputs, batch.target.views[0], len(batch.source.inputs)
    if batch_norm == "separate":
        source_features, source_logits = functional_call(classifier, copy.deepcopy(dict(classifier.named_buffers())), source)
        target_features, target_logits = predict(target)
    else:
        if batch_norm == "frozen":
            [layer.eval() for layer in classifier.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
        features, logits = predict(torch.cat([source, target]))
        source_features, target_features = features[:num_source], features[num_source:]
        source_logits, target_logits = logits[:num_source], logits[num_source:]
    losses = {"classification": F.cross_entropy(source_logits, batch.source.labels)}
    says_source = torch.sigmoid(discriminator(torch.cat([source_features, target_features])))[:, 0]
    losses["domain"] = -says_source[:num_source].log().mean() / 2 - (1 - says_source[num_source:]).log().mean() / 2
    to_minimise = losses["classification"] - STRENGTH * losses["domain"]
    if temperature is not None:
        losses["class_confusion"] = plain_class_confusion(target_logits, temperature)
        to_minimise = to_minimise + losses["class_confusion"]
    parameters, adversary = list(classifier.parameters()), list(discriminator.parameters())
    gradients = torch.autograd.grad(to_minimise, parameters, retain_graph=True) + torch.autograd.grad(losses["domain"], adversary)
    with torch.no_grad():
        for parameter, gradient in zip([*parameters, *adversary], gradients, strict=True):
            parameter.sub_(RATE * gradient)
    return losses


def plain_class_confusion(logits, temperature):
    """Jin et al., Eq. 2 to 6, sample by sample."""
    num_classes = logits.shape[1]
    probabilities = [torch.softmax(row / temperature, dim=0) for row in logits]
    certainties = [1 + math.exp(float((row * row.log()).sum())) for row in probabilities]
    weights = [len(logits) * certainty / sum(certainties) for certainty in certainties]
    correlation = sum(weight * torch.outer(row, row) for weight, row in zip(weights, probabilities, strict=True))
    confusion = correlation / correlation.sum(dim=1, keepdim=True)
    return (confusion.sum() - confusion.diag().sum()) / num_classes


@pytest.mark.parametrize("sizes", [(7, 4), (3, 8)])
@pytest.mark.parametrize("temperature", [None, 2.5])
@pytest.mark.parametrize("batch_norm", ["joint", "separate", "frozen"])
def test_step_is_that_of_the_paper(batch_norm, temperature, sizes):
    terms = {} if temperature is None else {"class_confusion": functools.partial(minimum_class_confusion, temperature=temperature)}
    method, batch = dann(batch_norm=batch_norm, terms=terms), tiny_batch(*sizes)
    twin = copy.deepcopy(method)
    expected = plain_step(twin.classifier, twin.discriminator, batch, batch_norm, temperature)

    optimizer = method.configure_optimizers()["optimizer"]
    method.training_step(batch, 0).backward()
    optimizer.step()

    logged = {name: value for name, value in method.logged.items() if name.startswith("loss/")}
    assert logged == pytest.approx(
        {f"loss/{name}": loss.item() for name, loss in expected.items()} | {"loss/total": sum(expected.values()).item()}, rel=1e-10
    )
    for (name, found), value in zip(method.state_dict().items(), twin.state_dict().values(), strict=True):
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


def domain_loss(method, features):
    batch = tiny_batch(6, 4)
    return method.losses(*passes_with(batch, features[:6], features[6:]))["domain"]


def test_features_are_pushed_against_the_discriminator_by_the_strength():
    method = dann()
    features = torch.randn(10, NUM_FEATURES, dtype=torch.float64, requires_grad=True)
    (adversarial,) = torch.autograd.grad(domain_loss(method, features), features)
    logits = method.discriminator(features)[:, 0]
    own = F.binary_cross_entropy_with_logits(logits[:6], torch.ones(6).double()) + F.binary_cross_entropy_with_logits(
        logits[6:], torch.zeros(4).double()
    )
    (discriminating,) = torch.autograd.grad(own / 2, features)
    assert discriminating.abs().min() > 0
    torch.testing.assert_close(adversarial, -STRENGTH * discriminating)


def test_discriminator_learns_at_full_speed_whatever_the_strength():
    features = torch.randn(10, NUM_FEATURES, dtype=torch.float64)
    gradients = []
    for batches_done in (0, 10):
        method = dann()
        method.batches_done = batches_done
        gradients.append(torch.autograd.grad(domain_loss(method, features), list(method.discriminator.parameters())))
    for at_start, at_end in zip(*gradients, strict=True):
        assert at_start.abs().sum() > 0
        torch.testing.assert_close(at_start, at_end)


def test_features_feel_nothing_of_the_domains_at_the_start():
    method = dann()
    method.batches_done = 0
    features = torch.randn(10, NUM_FEATURES, dtype=torch.float64, requires_grad=True)
    assert not torch.autograd.grad(domain_loss(method, features), features)[0].any()


def test_strength_is_scaled_and_logged():
    method = dann(max_reversal=0.5)
    domain_loss(method, torch.zeros(10, NUM_FEATURES, dtype=torch.float64))
    assert method.logged["adaptation/reversal"] == pytest.approx(STRENGTH / 2)
    assert method.logged["adaptation/domain_accuracy"] == 0.5
