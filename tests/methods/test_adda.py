"""ADDA with features that both domains share."""

import math

import pytest
import torch
from single_steps import (
    NUM_FEATURES,
    UNEQUAL_SIZES,
    Objectives,
    assert_same_step,
    attach_optimizer,
    descend,
    passes_with,
    tiny_batch,
    tiny_method,
)
from torch.nn import functional as F

from acclimate.methods.adda import Adda


def algorithm(method, batch, *, ramp):
    """Tzeng et al., CVPR 2017: the discriminator learns who is who, then the target learns to pass for source."""
    (source, source_logits), (target, _) = (method.classifier(images) for images in (batch.source.inputs, batch.target.views[0]))
    is_source, is_target = (method.discriminator(features.detach())[:, 0].sigmoid() for features in (source, target))
    descend(-is_source.log().mean() / 2 - (1 - is_target).log().mean() / 2, method.discriminator.parameters())
    deceived = -method.discriminator(target)[:, 0].sigmoid().log().mean()
    classification = F.cross_entropy(source_logits, batch.source.labels)
    return Objectives({"classification": classification, "adversarial": ramp * deceived}, classification + ramp * deceived)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize("progress", [0.1, 0.5])
def test_step_is_that_of_the_paper(sizes, progress):
    ramp = 0.7 * (2 / (1 + math.exp(-5 * progress)) - 1)
    method = tiny_method(Adda, progress=progress, adversarial_weight=0.7, steepness=5.0, discriminator_width=8)
    assert_same_step(method, tiny_batch(*sizes), lambda *arguments: algorithm(*arguments, ramp=ramp))


def adversarial(method, target, *, num_source=5):
    source = torch.zeros(num_source, NUM_FEATURES, dtype=target.dtype)
    return method.adaptation_losses(*passes_with(tiny_batch(num_source, len(target)), source, target))["adversarial"]


def test_target_is_pushed_to_where_the_discriminator_says_source():
    method, target = tiny_method(Adda), torch.randn(4, NUM_FEATURES, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(adversarial(method, target), target)
    with torch.no_grad():
        assert (method.discriminator(target - 0.1 * gradient) > method.discriminator(target)).all()


def test_adversarial_loss_trains_no_discriminator():
    method, target = tiny_method(Adda), torch.randn(4, NUM_FEATURES, dtype=torch.float64).requires_grad_()
    adversarial(method, target).backward()
    assert target.grad.any()
    assert all(parameter.grad is None for parameter in method.discriminator.parameters())


def test_discriminator_takes_full_steps_before_the_features_feel_anything():
    discriminators = []
    for progress in (0.0, 1.0):
        method, batch = tiny_method(Adda, progress=progress), tiny_batch()
        attach_optimizer(method)
        before = {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
        method.train_adversary(*method.passes(batch)[:2])
        moved = {name for name, parameter in method.named_parameters() if not torch.equal(parameter, before[name])}
        assert moved == {f"discriminator.{name}" for name, _ in method.discriminator.named_parameters()}
        discriminators.append([parameter.detach() for parameter in method.discriminator.parameters()])
    torch.testing.assert_close(*discriminators, rtol=0, atol=0)
    method, target = tiny_method(Adda, progress=0.0), torch.randn(4, NUM_FEATURES, dtype=torch.float64).requires_grad_()
    assert not torch.autograd.grad(adversarial(method, target), target)[0].any()


def test_discriminator_says_more_than_any_probability():
    """One that ended in a softmax over its one unit would say 1 of everything."""
    method = tiny_method(Adda)
    said = method.discriminator(100 * torch.randn(50, NUM_FEATURES, dtype=torch.float64))
    assert said.min() < 0
    assert said.max() > 1


def test_source_is_not_pushed_anywhere():
    method, batch = tiny_method(Adda), tiny_batch()
    source, target = method.passes(batch)[:2]
    loss = method.adaptation_losses(source, target)["adversarial"]
    assert torch.autograd.grad(loss, source.features, allow_unused=True) == (None,)


def test_running_statistics_see_one_pass():
    method, batch = tiny_method(Adda), tiny_batch()
    attach_optimizer(method)
    method.training_step(batch, 0)
    assert int(method.classifier.bottleneck[1].num_batches_tracked) == 1


def test_weight_and_domain_accuracy_are_logged():
    method = tiny_method(Adda, adversarial_weight=0.5)
    attach_optimizer(method)
    method.training_step(tiny_batch(), 0)
    assert method.logged["adaptation/adversarial_weight"] == pytest.approx(1 / (1 + math.exp(-5)) - 0.5)
    assert 0 <= method.logged["adaptation/domain_accuracy"] <= 1
