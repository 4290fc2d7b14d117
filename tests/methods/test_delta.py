"""DELTA: the step of the paper, the maps that it takes, and the network that they are compared with."""

import copy

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, deep_classifier, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.methods.delta import Delta

LABELLED = tiny_batch()._replace(target=None)


def moved_away(**options):
    """A method whose backbone is no longer where it started; also gives that backbone as it was."""
    method = tiny_method(Delta, classifier=deep_classifier, **options)
    start = copy.deepcopy(method.classifier.backbone)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in method.classifier.backbone.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return method, start


def maps_of(backbone, images):
    """Return the outputs of the convolutions, which are layers 0, 3 and 6 of the body, and the features."""
    current, found = (images - backbone.mean) / backbone.std, []
    for number, layer in enumerate(backbone.body):
        current = layer(current)
        if number in (0, 3, 6):
            found.append(current)
    return found, current


def algorithm(method, batch, *, start, map_weight, shrinkage_weight):
    """Li et al., ICLR 2019, without attention; here in units of what the maps of a layer were."""
    classifier, images = method.classifier, batch.source.inputs
    maps, features = maps_of(classifier.backbone, images)
    fixed, _ = maps_of(start.eval(), images)
    near = 0.0
    for now, then in zip(maps, fixed, strict=True):
        size = torch.linalg.vector_norm(then.detach())
        for sample in range(len(now)):
            near = near + 0.5 * torch.linalg.vector_norm((now[sample] - then[sample].detach()) / size) ** 2
    new = [*classifier.bottleneck.parameters(), *classifier.head.parameters()]
    small = shrinkage_weight * 0.5 * sum(torch.linalg.vector_norm(parameter) ** 2 for parameter in new)
    task = F.cross_entropy(classifier.head(classifier.bottleneck(features)), batch.source.labels)
    losses = {"classification": task, "feature_maps": map_weight * near, "shrinkage": small}
    return Objectives(losses, task + map_weight * near + small)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize(("map_weight", "shrinkage_weight"), [(1.0, 0.01), (0.05, 0.5)])
def test_step_is_that_of_the_paper(sizes, map_weight, shrinkage_weight):
    options = {"map_weight": map_weight, "shrinkage_weight": shrinkage_weight}
    method, start = moved_away(**options)
    batch = tiny_batch(*sizes)._replace(target=None)
    assert_same_step(method, batch, lambda *arguments: algorithm(*arguments, start=start, **options))


def test_maps_of_equal_networks_are_equal_where_both_use_running_statistics():
    method = tiny_method(Delta, classifier=deep_classifier).eval()
    assert method.losses(*method.passes(LABELLED)[:2])["feature_maps"].item() == 0


def test_training_with_it_keeps_the_maps_nearer_to_the_start():
    distances = {}
    for weight in (0.0, 5.0):
        method = tiny_method(Delta, classifier=deep_classifier, map_weight=weight)
        method.batch_norm = "frozen"
        method.train()
        start = copy.deepcopy(method.classifier.backbone).eval()
        optimizer = torch.optim.SGD(method.classifier.parameters(), lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            method.training_step(LABELLED, 0).backward()
            optimizer.step()
        now, then = (maps_of(backbone, LABELLED.source.inputs)[0] for backbone in (method.classifier.backbone, start))
        distances[weight] = sum(torch.linalg.vector_norm(a - b).item() for a, b in zip(now, then, strict=True))
    assert distances[5.0] < 0.8 * distances[0.0]


def test_start_neither_learns_nor_moves_its_statistics():
    method, start = moved_away()
    method.train()
    assert [group["name"] for group in method.parameter_groups()] == ["backbone", "head"]
    method.training_step(LABELLED, 0).backward()
    assert all(parameter.grad is None for parameter in method.start.parameters())
    for name, value in method.start.network.state_dict().items():
        assert torch.equal(value, start.state_dict()[name])


def test_a_pass_of_the_start_moves_no_statistics_of_the_classifier():
    method, _ = moved_away()
    method.training_step(LABELLED, 0)
    norms = [layer for layer in method.classifier.backbone.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert [int(norm.num_batches_tracked) for norm in norms] == [1, 1, 1]


def test_maps_do_not_outlive_the_step():
    method, _ = moved_away()
    method.training_step(LABELLED, 0)
    assert not any(layer._forward_hooks for layer in method.modules())
    kept = [value for value in vars(method).values() if isinstance(value, list | torch.Tensor)]
    assert not any(isinstance(tensor, torch.Tensor) and tensor.requires_grad for value in kept for tensor in [value, *value])


def test_a_frozen_backbone_is_left_alone():
    method = tiny_method(Delta, backbone_rate=0.0)
    method.training_step(LABELLED, 0).backward()
    assert method.logged["loss/feature_maps"] == 0
    assert method.classifier.head.weight.grad.any()
