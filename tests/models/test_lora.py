"""LoRA: updates of low rank start at nothing, are all that trains, and can be merged."""

import copy
import functools

import pytest
import torch
from small_runs import compose, differences
from torch import nn
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.inputs import ANY_SIZE
from acclimate.models.backbones.image import ImageBackbone
from acclimate.models.backbones.pretrained import efficientnet_lite0, timm_backbone, torchvision_backbone
from acclimate.models.classifier import Classifier
from acclimate.models.lora import LowRankUpdate, add_low_rank_updates, add_update, merge_low_rank_updates
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run

RANK = 4
BACKBONES = {
    "efficientnet_lite0": efficientnet_lite0,
    "resnet18": functools.partial(torchvision_backbone, name="resnet18"),
    "transformer": functools.partial(timm_backbone, name="vit_tiny_patch16_224"),
}


def classifier(name, *, rank):
    torch.manual_seed(0)
    return Classifier(BACKBONES[name], num_classes=10, inputs=ANY_SIZE, lora_rank=rank).eval()


@pytest.fixture(scope="module", params=BACKBONES)
def pair(request):
    """The same classifier without and with updates."""
    return classifier(request.param, rank=None), classifier(request.param, rank=RANK)


def logits(network, *, size=224):
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network(images).logits


def trained(network):
    """As if training had moved all that trains by a good deal."""
    moved, generator = copy.deepcopy(network), torch.Generator().manual_seed(2)
    for parameter in moved.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return moved


def test_start_is_the_pretrained_model_exactly(pair):
    plain, updated = pair
    assert torch.equal(logits(plain), logits(updated))


def test_at_most_five_percent_of_the_parameters_train(pair):
    _, updated = pair
    sizes = {parameter.requires_grad: 0 for parameter in updated.parameters()}
    for parameter in updated.parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    assert 0 < sizes[True] <= 0.05 * (sizes[True] + sizes[False])


def test_merged_weights_give_the_same_logits(pair):
    plain, updated = pair
    moved, merged = trained(updated), copy.deepcopy(plain)
    merged.load_state_dict(merge_low_rank_updates(moved.state_dict()))
    expected = logits(moved)
    assert (expected - logits(updated)).abs().max() > 0.1
    torch.testing.assert_close(logits(merged), expected, rtol=1e-5, atol=1e-5)


def test_every_layer_but_grouped_convolutions_has_an_update(pair):
    _, updated = pair
    for layer in updated.backbone.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            assert hasattr(layer, "parametrizations") == (getattr(layer, "groups", 1) == 1)
    names = [name for name, parameter in updated.backbone.named_parameters() if parameter.requires_grad]
    assert names
    assert all(name.endswith(("weight.0.down", "weight.0.up")) for name in names)


def test_merging_leaves_other_states_alone():
    plain = classifier("resnet18", rank=None).state_dict()
    assert differences(plain, merge_low_rank_updates(plain)) == []


def test_layer_adds_two_thin_layers_to_itself():
    layer, inputs = nn.Linear(5, 7), torch.randn(3, 5)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    add_low_rank_updates(layer, rank=2)
    update = layer.parametrizations.weight[0]
    nn.init.normal_(update.up)
    expected = F.linear(inputs, weight, bias) + F.linear(F.linear(inputs, update.down), update.up)
    torch.testing.assert_close(layer(inputs), expected)


def test_convolution_adds_a_thin_one_and_one_of_single_pixels_to_itself():
    layer, inputs = nn.Conv2d(3, 6, 3, stride=2, padding=1), torch.randn(2, 3, 9, 9)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    add_low_rank_updates(layer, rank=2)
    update = layer.parametrizations.weight[0]
    nn.init.normal_(update.up)
    thin = F.conv2d(inputs, update.down.view(2, 3, 3, 3), stride=2, padding=1)
    expected = F.conv2d(inputs, weight, bias, stride=2, padding=1) + F.conv2d(thin, update.up.view(6, 2, 1, 1))
    torch.testing.assert_close(layer(inputs), expected)


def test_update_has_the_rank_and_no_more():
    update = LowRankUpdate(torch.zeros(8, 3, 3, 3), rank=2)
    nn.init.normal_(update.up)
    assert torch.linalg.matrix_rank(update(torch.zeros(8, 3, 3, 3)).flatten(1)) == 2


def test_gradients_of_the_factors_are_exact():
    generator = torch.Generator().manual_seed(0)
    weight, down, up = (
        torch.randn(*shape, dtype=torch.float64, generator=generator, requires_grad=True) for shape in ((4, 2, 3), (2, 6), (4, 2))
    )
    assert torch.autograd.gradcheck(add_update, (weight, down, up))


def test_first_step_reaches_only_what_starts_at_zero():
    layer = nn.Linear(5, 7)
    add_low_rank_updates(layer, rank=2)
    layer(torch.randn(3, 5)).square().sum().backward()
    update = layer.parametrizations.weight[0]
    assert update.up.grad.any()
    assert not update.down.grad.any()
    assert layer.parametrizations.weight.original.grad is None
    assert layer.bias.grad is None


def depthwise(weights, inputs):
    return ImageBackbone(nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.Flatten()), num_features=3, image_size=3)


@pytest.mark.parametrize(
    ("backbone", "rank", "message"),
    [(depthwise, 2, "the backbone has none")],
)
def test_updates_that_make_no_sense_are_refused(backbone, rank, message):
    with pytest.raises(ConfigError, match=message):
        Classifier(backbone, num_classes=2, inputs=ANY_SIZE, lora_rank=rank)


@pytest.fixture(scope="module")
def finished(archives, tmp_path_factory):
    """Folder and metrics of a run with updates."""
    folder = tmp_path_factory.mktemp("lora")
    return folder, run.train(compose(folder, *archives, "method=lora", "trainer.max_epochs=3", "optimizer.lr=0.01"))


def test_checkpoint_is_evaluated_as_it_was_tested(finished):
    folder, metrics = finished
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(folder))
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    found = evaluation.evaluate(checkpoint["config"], checkpoint)
    assert {name: metrics[name] for name in found} == found


def test_rebuilt_classifier_is_plain_and_predicts_the_same(finished, archives):
    folder, _ = finished
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(folder))
    parts = assembly.build(checkpoint["config"] | {"callbacks": {}})
    parts.method.load_state_dict(checkpoint["state_dict"])
    rebuilt = checkpoints.rebuild_classifier(checkpoint)
    assert not any("parametrizations" in name for name in rebuilt.state_dict())
    torch.testing.assert_close(logits(rebuilt, size=16), logits(parts.method.classifier.eval(), size=16), rtol=1e-5, atol=1e-5)


def test_another_run_starts_from_the_merged_weights(finished, archives, tmp_path):
    folder, _ = finished
    best = checkpoints.best_checkpoint(folder)
    started = assembly.build(compose(tmp_path, *archives, "method=fine_tune", f"model.weights={best}")).method.classifier
    rebuilt = checkpoints.rebuild_classifier(checkpoints.read_checkpoint(best))
    assert differences(started.backbone.state_dict(), rebuilt.backbone.state_dict()) == []
