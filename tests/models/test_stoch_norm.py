"""Stochastic normalisation as a layer: which statistics it takes, and what it leaves as it is."""

import copy
import functools

import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError
from acclimate.models.backbones.pretrained import efficientnet_lite0, torchvision_backbone
from acclimate.models.batch_norm import batch_norms, fixed_statistics
from acclimate.models.stoch_norm import StochNorm, replace_batch_norm

SHAPES = {nn.BatchNorm1d: (6, 5), nn.BatchNorm2d: (6, 5, 4, 3), nn.BatchNorm3d: (4, 5, 2, 3, 2)}


def used(kind=nn.BatchNorm2d):
    """A layer that has seen other data, and inputs for it."""
    torch.manual_seed(0)
    layer = kind(5)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
        layer.bias.normal_()
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    return layer, torch.randn(*SHAPES[kind])


@pytest.mark.parametrize("kind", SHAPES)
def test_rate_of_one_is_batch_norm(kind):
    layer, inputs = used(kind)
    stochastic = StochNorm(copy.deepcopy(layer), selection_rate=1.0)
    torch.testing.assert_close(stochastic(inputs), layer(inputs))
    torch.testing.assert_close(stochastic.state_dict(), layer.state_dict())


@pytest.mark.parametrize("kind", SHAPES)
def test_rate_of_zero_normalises_by_the_past_and_still_learns_from_the_batch(kind):
    layer, inputs = used(kind)
    stochastic = StochNorm(copy.deepcopy(layer), selection_rate=0.0)
    expected = copy.deepcopy(layer).eval()(inputs)
    torch.testing.assert_close(stochastic(inputs), expected)
    layer(inputs)
    torch.testing.assert_close(stochastic.state_dict(), layer.state_dict())


def test_two_channels_by_hand():
    stochastic = StochNorm(nn.BatchNorm1d(2, eps=1e-12), selection_rate=0.5)
    stochastic.running_mean.copy_(torch.tensor([1.0, 1.0]))
    stochastic.running_var.copy_(torch.tensor([4.0, 4.0]))
    inputs = torch.tensor([[3.0, 3.0], [7.0, 7.0]])
    # The batch has mean 5 and variance 4; its unbiased variance of 8 enters the moving one by a tenth.
    torch.manual_seed(next(seed for seed in range(99) if draws(seed, 2) == [True, False]))
    torch.testing.assert_close(stochastic(inputs), torch.tensor([[-1.0, 1.0], [1.0, 3.0]]))
    torch.testing.assert_close(stochastic.running_mean, torch.tensor([1.4, 1.4]))
    torch.testing.assert_close(stochastic.running_var, torch.tensor([4.4, 4.4]))


def draws(seed, num, rate=0.5):
    return (torch.rand(num, generator=torch.Generator().manual_seed(seed)) < rate).tolist()


def test_batches_are_selected_as_often_as_the_rate_says():
    stochastic = StochNorm(nn.BatchNorm1d(10_000), selection_rate=0.3)
    inputs = torch.randn(3, 10_000) + 5
    # By the batch every channel has mean zero, by the past one of about five.
    torch.manual_seed(0)
    share = (stochastic(inputs).mean(dim=0).abs() < 1e-3).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.02)


def test_all_samples_share_the_draws_of_a_batch():
    layer, inputs = used()
    stochastic = StochNorm(layer, selection_rate=0.5)
    order = torch.tensor([4, 2, 0, 1, 5, 3])
    outputs = []
    for batch in (inputs, inputs[order]):
        torch.manual_seed(1)
        outputs.append(copy.deepcopy(stochastic)(batch))
    torch.testing.assert_close(outputs[0][order], outputs[1])


@pytest.mark.parametrize("seed", range(3))
def test_gradient_is_that_of_the_statistics_before_the_batch(seed):
    layer, inputs = used()
    stochastic = StochNorm(layer, selection_rate=0.5).double()

    def forward(inputs):
        torch.manual_seed(seed)
        return copy.deepcopy(stochastic)(inputs)

    assert torch.autograd.gradcheck(forward, inputs.double().requires_grad_())


def test_large_values_in_bfloat16_are_finite():
    layer, inputs = used()
    stochastic = StochNorm(layer, selection_rate=0.5)
    inputs = (1e4 * inputs.sign()).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = stochastic(inputs)
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert inputs.grad.isfinite().all()


def test_fixed_statistics_stay_fixed():
    layer, inputs = used()
    stochastic = StochNorm(layer, selection_rate=0.5)
    before = copy.deepcopy(stochastic.state_dict())
    with fixed_statistics(stochastic):
        stochastic(inputs)
    torch.testing.assert_close(stochastic.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    "make", [efficientnet_lite0, functools.partial(torchvision_backbone, name="resnet18")], ids=["efficientnet_lite0", "resnet18"]
)
def test_networks_keep_their_names_and_their_outputs_in_evaluation(make):
    torch.manual_seed(0)
    plain = make(weights=None).eval()
    replaced = copy.deepcopy(plain)
    replace_batch_norm(replaced, selection_rate=0.5)
    assert len(batch_norms(replaced)) == len(batch_norms(plain))
    assert all(type(layer) is StochNorm for layer in batch_norms(replaced))
    assert list(replaced.state_dict()) == list(plain.state_dict())
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(replaced(images), plain(images))
    torch.manual_seed(1)
    assert not torch.allclose(replaced.train()(images), plain.train()(images), rtol=1e-2)


def test_rate_of_one_trains_a_network_with_fused_layers_as_batch_norm_does():
    torch.manual_seed(0)
    plain = efficientnet_lite0(weights=None).train()
    replaced = copy.deepcopy(plain)
    replace_batch_norm(replaced, selection_rate=1.0)
    images = torch.rand(3, 3, 64, 64)
    torch.testing.assert_close(replaced(images), plain(images))
    torch.testing.assert_close(replaced.state_dict(), plain.state_dict())


def test_network_without_batch_norm_is_refused():
    with pytest.raises(ConfigError, match=r"the backbone has none\. Use method=fine_tune"):
        replace_batch_norm(nn.Sequential(nn.Linear(3, 3)), selection_rate=0.5)
