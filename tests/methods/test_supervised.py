import copy
import functools

import pytest
import torch
from single_steps import RATE, deep_classifier, tiny_batch, tiny_classifier, tiny_method, with_extras
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.methods.supervised import Supervised
from acclimate.schedules import constant
from acclimate.types import DomainBatch


def supervised(**options):
    torch.manual_seed(0)
    method = Supervised(tiny_classifier(), optimizer=functools.partial(torch.optim.SGD, lr=RATE), schedule=constant, **with_extras(options))
    method.log = method.log_dict = lambda *arguments, **keywords: None
    return method.double().train()


@pytest.mark.parametrize("backbone_rate", [0.0, 0.1, 1.0])
def test_step_is_gradient_descent_on_the_cross_entropy(backbone_rate):
    method, batch = supervised(backbone_rate=backbone_rate), tiny_batch()._replace(target=None)
    twin = copy.deepcopy(method.classifier)
    features = twin.bottleneck(twin.backbone.body((batch.source.inputs - twin.backbone.mean) / twin.backbone.std))
    loss = F.cross_entropy(twin.head(features), batch.source.labels)
    parameters = {name: parameter for name, parameter in twin.named_parameters() if parameter.requires_grad}
    with torch.no_grad():
        for (name, parameter), gradient in zip(parameters.items(), torch.autograd.grad(loss, list(parameters.values())), strict=True):
            parameter.sub_(RATE * (backbone_rate if name.startswith("backbone") else 1.0) * gradient)

    optimizer = method.configure_optimizers()["optimizer"]
    total = method.training_step(batch, 0)
    total.backward()
    optimizer.step()
    torch.testing.assert_close(total, loss)
    torch.testing.assert_close(method.classifier.state_dict(), twin.state_dict(), rtol=1e-10, atol=1e-12)


def test_step_with_layer_decay_descends_at_the_rate_of_each_stage():
    """Howard and Ruder, ACL 2018, section 3.2: the rate of a layer is that of the layer behind it, divided by 2.6."""
    method, batch = tiny_method(Supervised, classifier=deep_classifier, layer_decay=1 / 2.6), tiny_batch()._replace(target=None)
    twin = copy.deepcopy(method.classifier)
    # Layers 0 and 1 of the body are the first convolution and its batch norm, and so on; the bottleneck is part of the head.
    depths = {f"backbone.body.{layer}": layer // 3 for layer in range(9)}
    loss = F.cross_entropy(twin(batch.source.inputs).logits, batch.source.labels)
    with torch.no_grad():
        for (name, parameter), gradient in zip(
            list(twin.named_parameters()), torch.autograd.grad(loss, list(twin.parameters())), strict=True
        ):
            rate = RATE
            for _ in range(3 - depths.get(name.rpartition(".")[0], 3)):
                rate /= 2.6
            parameter.sub_(rate * gradient)

    optimizer = method.configure_optimizers()["optimizer"]
    method.training_step(batch, 0).backward()
    optimizer.step()
    torch.testing.assert_close(method.classifier.state_dict(), twin.state_dict(), rtol=1e-10, atol=1e-12)


def test_target_changes_nothing():
    batch = tiny_batch()
    source, target, _ = supervised().passes(DomainBatch(batch.source, None))
    assert target is None
    losses = supervised().losses(source, target)
    assert list(losses) == ["classification"]


def test_terms_on_the_target_are_refused():
    with pytest.raises(ConfigError, match=r"terms.* need the target"):
        supervised(terms={"entropy": lambda logits: logits.sum()})
