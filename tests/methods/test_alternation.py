"""Extra steps: what they descend on, what they leave alone, and what they leave behind."""

import pytest
import torch
from single_steps import NUM_FEATURES, RATE, attach_optimizer, tiny_batch, tiny_method
from small_runs import compose

from acclimate.errors import ConfigError
from acclimate.methods.alternation import Alternating
from acclimate.methods.dann import Dann
from acclimate.training import assembly


class TakingTurns(Alternating, Dann):
    """DANN that could take extra steps."""


def weights_of(method):
    return {name: parameter.detach().clone() for name, parameter in method.named_parameters()}


def moved(method, before):
    return {name for name, parameter in method.named_parameters() if not torch.equal(parameter, before[name])}


def discriminator_loss(method, batch):
    features = method.classifier(batch.source.inputs).features
    return method.discriminator(features).square().mean()


def test_extra_step_is_gradient_descent_on_the_named_parameters_alone():
    method, batch = tiny_method(TakingTurns), tiny_batch()
    attach_optimizer(method)
    loss, chosen = discriminator_loss(method, batch), [method.discriminator[0].weight, method.discriminator[4].bias]
    expected = [p - RATE * gradient for p, gradient in zip(chosen, torch.autograd.grad(loss, chosen, retain_graph=True), strict=True)]
    before = weights_of(method)
    method.extra_step(loss, iter(chosen))
    torch.testing.assert_close([p.detach() for p in chosen], expected, rtol=0, atol=0)
    assert moved(method, before) == {"discriminator.0.weight", "discriminator.4.bias"}


def test_extra_step_leaves_weights_alone_that_its_loss_does_not_use():
    method, batch = tiny_method(TakingTurns), tiny_batch()
    attach_optimizer(method)
    before = weights_of(method)
    method.extra_step(discriminator_loss(method, batch), [method.discriminator[0].weight, method.classifier.head.weight])
    assert moved(method, before) == {"discriminator.0.weight"}


def test_extra_step_leaves_no_gradients_behind():
    method, batch = tiny_method(TakingTurns), tiny_batch()
    attach_optimizer(method)
    method.extra_step(discriminator_loss(method, batch), method.discriminator.parameters())
    assert all(parameter.grad is None for parameter in method.parameters())


def test_extra_step_does_not_repeat_what_the_step_before_it_left():
    """Lightning clears the gradients of a step only after the training_step that follows it."""
    method, batch = tiny_method(TakingTurns), tiny_batch()
    attach_optimizer(method)
    method.training_step(batch, 0).backward()
    assert method.classifier.head.weight.grad.any()
    before = weights_of(method)
    method.extra_step(discriminator_loss(method, batch), [method.discriminator[4].weight])
    assert moved(method, before) == {"discriminator.4.weight"}


@pytest.mark.parametrize(("clip_by", "largest"), [(None, 0.002 / 5**0.5), ("norm", 0.002 / 5**0.5), ("value", 0.002)])
def test_extra_step_clips_as_the_trainer_does(clip_by, largest):
    method = tiny_method(TakingTurns)
    attach_optimizer(method, clip=0.002, clip_by=clip_by)
    bias, before = method.discriminator[0].bias, method.discriminator[0].bias.detach().clone()
    method.extra_step(bias[:5].sum() * 100, [bias])
    torch.testing.assert_close(bias[:5].detach(), before[:5] - RATE * largest, rtol=1e-6, atol=0)
    assert torch.equal(bias[5:], before[5:])


def test_extra_step_refuses_accumulation():
    method, batch = tiny_method(TakingTurns), tiny_batch()
    attach_optimizer(method, accumulate=2)
    with pytest.raises(ConfigError, match=r"several steps .* trainer\.accumulate_grad_batches=1"):
        method.extra_step(discriminator_loss(method, batch), method.discriminator.parameters())


def test_passes_after_an_extra_step_use_the_new_weights_under_autocast():
    method = tiny_method(TakingTurns).float()
    attach_optimizer(method)
    features = torch.ones(2, NUM_FEATURES)
    with torch.autocast("cpu", torch.bfloat16):
        method.extra_step(-100 * method.discriminator(features).float().mean(), method.discriminator.parameters())
        after = method.discriminator(features)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(after, method.discriminator(features))


class TwoSteps(TakingTurns):
    """Trains its discriminator twice for a batch and writes down what moved in the first of the steps."""

    def train_adversary(self, source, target):
        before = weights_of(self)
        loss = self.discriminator(source.features.detach()).square().mean()
        self.extra_step(loss, self.discriminator.parameters())
        self.moved = getattr(self, "moved", set()) | moved(self, before)
        self.logged_steps = (self.trainer.global_step, self.batches_done)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_extra_steps_of_a_whole_training_touch_nothing_else(archives, tmp_path, optimizer):
    """Momentum and weight decay would move what only has a gradient of zero."""
    options = ("method=dann", f"optimizer={optimizer}", "trainer.max_steps=7", "callbacks={}", "trainer.gradient_clip_val=1.0")
    config = compose(tmp_path, *archives, *options)
    config["method"]["_target_"] = f"{__name__}.TwoSteps"
    parts = assembly.build(config)
    parts.trainer.fit(parts.method, parts.data)
    assert parts.method.moved == {name for name, _ in parts.method.named_parameters() if name.startswith("discriminator.")}
    assert (parts.trainer.global_step, parts.method.batches_done) == (7, 7)
    assert parts.method.logged_steps == (6, 6)
