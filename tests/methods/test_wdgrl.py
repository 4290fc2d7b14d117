"""WDGRL."""

import pytest
import torch
from single_steps import (
    NUM_FEATURES,
    UNEQUAL_SIZES,
    Objectives,
    assert_same_step,
    attach_optimizer,
    descend,
    tiny_batch,
    tiny_method,
)
from torch.nn import functional as F

from acclimate.methods.parts.critic import DomainCritic
from acclimate.methods.wdgrl import Wdgrl


def algorithm(method, batch, *, weight, num_critic_steps, penalty_weight):
    """Shen et al., AAAI 2018, slope by slope."""
    (source, logits), (target, _) = (method.classifier(images) for images in (batch.source.inputs, batch.target.views[0]))
    num = max(len(source), len(target))
    torch.manual_seed(2)
    for _ in range(num_critic_steps):
        draws = torch.rand(num)
        pairs = [(source[row % len(source)], target[row % len(target)], draw.double()) for row, draw in enumerate(draws)]
        between = [draw * one + (1 - draw) * other for one, other, draw in pairs]
        slopes = []
        for point in [*source, *target, *between]:
            leaf = point.detach().requires_grad_()
            slopes.append(torch.autograd.grad(method.critic(leaf[None])[0, 0], leaf, create_graph=True)[0].norm())
        penalty = sum((slope - 1) ** 2 for slope in slopes) / len(slopes)
        distance = method.critic(source.detach()).mean() - method.critic(target.detach()).mean()
        descend(-distance + penalty_weight * penalty, method.critic.parameters())
    distance = weight * (method.critic(source).mean() - method.critic(target).mean())
    classification = F.cross_entropy(logits, batch.source.labels)
    return Objectives({"classification": classification, "wasserstein": distance}, classification + distance)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize("settings", [{"num_critic_steps": 5, "penalty_weight": 10.0}, {"num_critic_steps": 2, "penalty_weight": 0.3}])
def test_step_is_that_of_the_paper(sizes, settings):
    method = tiny_method(Wdgrl, wasserstein_weight=0.7, critic_width=8, **settings)

    def with_the_same_draws(twin, batch):
        objectives = algorithm(twin, batch, weight=0.7, **settings)
        torch.manual_seed(2)
        return objectives

    assert_same_step(method, tiny_batch(*sizes), with_the_same_draws)


def test_features_of_the_domains_are_drawn_together():
    method, batch = tiny_method(Wdgrl), tiny_batch()
    attach_optimizer(method)
    source, target = method.passes(batch)[:2]
    method.train_adversary(source, target)
    loss = method.adaptation_losses(source, target)["wasserstein"]
    source_gradient, target_gradient = torch.autograd.grad(loss, [source.features, target.features])
    with torch.no_grad():
        assert (method.critic(source.features - 0.1 * source_gradient) < method.critic(source.features)).all()
        assert (method.critic(target.features - 0.1 * target_gradient) > method.critic(target.features)).all()
    assert all(parameter.grad is None for parameter in method.critic.parameters())


def test_critic_learns_the_distance_of_two_shifted_sets():
    """Of a set from the same set moved by 2, it is 2; a critic of slope s gains 2 s - 10 (s - 1)², most at s = 1.1."""
    method = tiny_method(Wdgrl, num_critic_steps=400, critic_width=32)
    attach_optimizer(method).param_groups[-1]["lr"] = 0.02
    features = 0.1 * torch.randn(16, NUM_FEATURES, dtype=torch.float64)
    moved = features.clone()
    moved[:, 0] += 2.0
    batch = tiny_batch(16, 16)
    source, target = method.passes(batch)[:2]
    source, target = source._replace(features=moved), target._replace(features=features)
    method.train_adversary(source, target)
    method.adaptation_losses(source, target)
    assert method.logged["adaptation/wasserstein_distance"] == pytest.approx(2.2, rel=0.02)


def test_critic_trains_without_the_classifier_and_in_full_whatever_the_weight():
    critics = []
    for weight in (0.0, 1.0):
        method, batch = tiny_method(Wdgrl, wasserstein_weight=weight), tiny_batch()
        attach_optimizer(method)
        before = {name: value.clone() for name, value in method.state_dict().items()}
        predictions = method.passes(batch)[:2]
        torch.manual_seed(0)
        method.train_adversary(*predictions)
        after = dict(method.named_parameters())
        assert {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])} == {"critic"}
        critics.append([parameter.detach() for parameter in method.critic.parameters()])
    torch.testing.assert_close(*critics, rtol=0, atol=0)


def test_running_statistics_see_one_pass():
    method = tiny_method(Wdgrl)
    attach_optimizer(method)
    method.training_step(tiny_batch(), 0)
    assert int(method.classifier.bottleneck[1].num_batches_tracked) == 1


def test_critic_gives_unbounded_scores_and_keeps_all_digits_under_autocast():
    torch.manual_seed(0)
    critic, features = DomainCritic(NUM_FEATURES), torch.randn(50, NUM_FEATURES)
    expected = critic(features)
    assert critic(1000 * features).min() < 0
    assert critic(1000 * features).max() > 1
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(critic(features), expected)
        assert critic(features.bfloat16()).dtype == torch.float32
    assert critic.bfloat16()(features.bfloat16()).dtype == torch.bfloat16
