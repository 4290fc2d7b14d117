"""Stochastic normalisation as a method: the paper's step, and checkpoints that are those of a plain classifier."""

import copy
import functools

import pytest
import torch
from single_steps import Objectives, assert_same_step, tiny_batch, tiny_method
from small_runs import compose
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.methods.stochastic_normalisation import StochasticNormalisation
from acclimate.models.stoch_norm import StochNorm
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run

SEED, RATE = 1, 0.5


def normalise(images, layer):
    """Kou et al., NeurIPS 2020, channel by channel."""
    torch.manual_seed(SEED)
    by_batch = torch.rand(images.shape[1]) < RATE
    assert 0 < by_batch.sum() < len(by_batch)
    channels = []
    for place, channel in enumerate(images.unbind(dim=1)):
        mean, variance = layer.running_mean[place].clone(), layer.running_var[place].clone()
        new_mean, new_variance = channel.mean(), channel.var(unbiased=False)
        if by_batch[place]:
            mean, variance = new_mean, new_variance
        channels.append((channel - mean) / (variance + 1e-5).sqrt() * layer.weight[place] + layer.bias[place])
        with torch.no_grad():
            layer.running_mean[place] = 0.9 * layer.running_mean[place] + 0.1 * new_mean
            layer.running_var[place] = 0.9 * layer.running_var[place] + 0.1 * channel.var()
    return torch.stack(channels, dim=1)


def plain_step(twin, batch, statistics):
    classifier = twin.classifier
    convolution, layer, *rest = classifier.backbone.body
    features = normalise(convolution((batch.source.inputs - classifier.backbone.mean) / classifier.backbone.std), layer)
    statistics += [layer.running_mean, layer.running_var]
    for part in rest:
        features = part(features)
    loss = F.cross_entropy(classifier.head(classifier.bottleneck(features)), batch.source.labels)
    return Objectives({"classification": loss}, loss)


@pytest.mark.parametrize("num_source", [7, 3])
def test_step_is_that_of_the_paper(num_source):
    method = tiny_method(StochasticNormalisation, selection_rate=RATE)
    layer = method.classifier.backbone.body[1]
    with torch.no_grad():
        layer.running_mean.copy_(torch.tensor([0.5, -0.5, 0.2, 0.0]))
        layer.running_var.copy_(torch.tensor([0.5, 2.0, 1.0, 0.1]))
    method.before_pass = lambda batch: torch.manual_seed(SEED)
    statistics = []
    assert_same_step(method, tiny_batch(num_source)._replace(target=None), functools.partial(plain_step, statistics=statistics))
    torch.testing.assert_close([layer.running_mean, layer.running_var], statistics)


def test_only_the_backbone_draws():
    classifier = tiny_method(StochasticNormalisation).classifier
    assert [type(layer) is StochNorm for layer in (classifier.backbone.body[1], classifier.bottleneck[1])] == [True, False]


def test_frozen_statistics_leave_nothing_to_draw():
    method, batch = tiny_method(StochasticNormalisation, selection_rate=1.0), tiny_batch()
    method.batch_norm = "frozen"
    plain = copy.deepcopy(method.classifier).eval()
    assert torch.equal(method.train().classifier(batch.source.inputs).logits, plain(batch.source.inputs).logits)


def test_checkpoint_is_rebuilt_as_a_plain_classifier(archives, tmp_path):
    metrics = run.train(compose(tmp_path, *archives, "method=stoch_norm", "trainer.max_epochs=2"))
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path))
    rebuilt = checkpoints.rebuild_classifier(checkpoint)
    assert not any(isinstance(layer, StochNorm) for layer in rebuilt.modules())
    assert torch.equal(rebuilt.backbone.body[1].running_var, checkpoint["state_dict"]["classifier.backbone.body.1.running_var"])
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    found = evaluation.evaluate(checkpoint["config"], checkpoint)
    assert {name: metrics[name] for name in found} == found


@pytest.mark.parametrize("option", ["method.batch_norm=frozen", "model.freeze=backbone", "method.backbone_rate=0"])
def test_frozen_statistics_are_refused_since_nothing_would_be_drawn(archives, tmp_path, option):
    with pytest.raises(ConfigError, match="batch norm is frozen"):
        assembly.build(compose(tmp_path, *archives, "method=stoch_norm", option))
