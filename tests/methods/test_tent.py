"""Tent: its step is that of the paper, its tests are streams that leave nothing behind, and it does not collapse."""

import copy

import pytest
import torch
from published_inputs import chirp
from single_steps import RATE, Objectives, assert_same_step, tiny_batch, tiny_method
from small_runs import assert_stop_changes_nothing, compose, differences
from torch import nn

from acclimate.errors import ConfigError
from acclimate.inputs import ANY_SIZE
from acclimate.methods.tent import Tent
from acclimate.models.backbones.image import ImageBackbone
from acclimate.models.batch_norm import batch_norms
from acclimate.models.classifier import Classifier
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run
from acclimate.types import DomainBatch, Labelled, Unlabelled


def tent(**options):
    method = tiny_method(Tent, **options)
    method.batch_norm = "joint"
    # Away from zero, so that there is an entropy to minimise.
    with torch.no_grad():
        method.classifier.head.weight.mul_(5)
    return method


def target_images(num_images, seed=0):
    return torch.rand(num_images, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 2


def mean_entropy(logits):
    probabilities = torch.softmax(logits, dim=1)
    return -(probabilities * torch.log(probabilities)).sum(dim=1).mean()


@pytest.mark.parametrize("num_target", [4, 8, 5])
def test_step_is_that_of_the_paper(num_target):
    method, images = tent(), target_images(num_target)

    def algorithm(twin, batch):
        entropy = mean_entropy(twin.classifier(batch.target.views[0]).logits)
        return Objectives({"entropy": entropy}, entropy)

    assert_same_step(method, DomainBatch(tiny_batch(0, 1).source, Unlabelled([images])), algorithm)


def test_a_stream_is_predicted_batch_by_batch_each_before_its_step():
    method, batches = tent(collapse_share=0.0).eval(), [target_images(5, seed) for seed in range(3)]
    twin = copy.deepcopy(method.classifier)
    for layer in batch_norms(twin):
        layer.train()
    affine = [parameter for layer in batch_norms(twin) for parameter in (layer.weight, layer.bias)]
    optimizer = method.make_optimizer(method.affine)
    for images in batches:
        logits = twin(images).logits
        found = method.predict_and_step(images, optimizer)
        torch.testing.assert_close(found.logits, logits.detach(), rtol=1e-9, atol=1e-12)
        for parameter, gradient in zip(affine, torch.autograd.grad(mean_entropy(logits), affine), strict=True):
            parameter.data.sub_(RATE * gradient)
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(method.classifier.get_parameter(name), parameter, rtol=1e-9, atol=1e-12)


def test_a_single_image_is_predicted_by_the_running_statistics_and_teaches_nothing():
    method, image = tent().eval(), target_images(1)
    expected, before = method.classifier(image), copy.deepcopy(method.state_dict())
    found = method.predict_and_step(image, method.make_optimizer(method.affine))
    torch.testing.assert_close(found, expected)
    assert differences(before, method.state_dict()) == []


def test_a_stream_is_that_of_the_authors():
    """Tent(model, SGD(lr=5)) of github.com/DequanWang/tent at e9e926a, on this network and these three batches."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    method = tiny_method(
        Tent,
        classifier=lambda: Classifier(
            lambda weights, inputs: ImageBackbone(body, num_features=16, image_size=8), num_classes=3, inputs=ANY_SIZE
        ).double(),
        collapse_share=0.0,
    ).eval()
    method.batch_norm = "joint"
    shifts = [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    for number, (parameter, shift) in enumerate(zip(method.classifier.parameters(), shifts, strict=True)):
        values = chirp(*parameter.shape, phase=float(number))
        parameter.data.copy_((values if parameter.ndim > 1 else 0.5 * values) + shift)
    optimizer = torch.optim.SGD(method.affine, lr=5.0)
    found = []
    for number in range(3):
        images = 0.5 + 0.5 * chirp(5, 3, 8, 8, phase=float(number))
        found.append((method.predict_and_step(images, optimizer).logits * chirp(5, 3, phase=5.0)).sum().item())
    assert found == pytest.approx([8.806615008963085, 8.654786478473138, 20.68867874328383], rel=1e-9)
    scale, shift = (
        [3.093867808582014, 0.9322328969043655, 1.3729560767395825, 1.7998942985552449],
        [2.0745146746510086, -0.6903988720583286, -0.2668252378186759, 2.1338030193255424],
    )
    assert [parameter.tolist() for parameter in method.affine] == [pytest.approx(scale, rel=1e-9), pytest.approx(shift, rel=1e-9)]


def stream(method, seeds):
    found = []
    for number, seed in enumerate(seeds):
        images = target_images(5, seed)
        with torch.inference_mode():
            found.append(method.predict_online(images, starts=number == 0).logits)
    return torch.stack(found)


def test_every_stream_starts_from_the_same_weights_and_none_leaves_anything_behind():
    method = tent().eval()
    before = copy.deepcopy(method.state_dict())
    method.on_test_start()
    first, second, third = stream(method, [0, 1, 2]), stream(method, [0, 1, 2]), stream(method, [2, 1, 0])
    assert torch.equal(first, second)
    assert not torch.equal(first[1], third[1])
    assert differences(before, method.state_dict()) == []


def test_what_is_tested_is_the_selected_classifier_and_its_stream_has_a_name_of_its_own():
    method, logged = tent().eval(), {}
    method.log = logged.__setitem__
    method.on_test_start()
    for number, seed in enumerate([0, 1, 2]):
        images = target_images(5, seed)
        expected, online = method.classifier(images), copy.deepcopy(method).predict_online(images, starts=number == 0)
        batch = Labelled(images, online.logits.argmax(dim=1)) if seed else Unlabelled([images])
        with torch.inference_mode():
            assert torch.equal(method.test_step(batch, number).logits, expected.logits)
    method.on_test_epoch_end()
    assert logged == {"target/online_test_accuracy": 1.0}


def test_inputs_of_a_target_without_labels_do_not_count_as_wrong():
    method, logged, images = tent().eval(), {}, target_images(5)
    method.log = logged.__setitem__
    method.on_test_start()
    labels = copy.deepcopy(method).predict_online(images, starts=True).logits.argmax(dim=1)
    labels[1:3] = -1
    with torch.inference_mode():
        method.test_step(Labelled(images, labels), 0)
    method.on_test_epoch_end()
    assert logged == {"target/online_test_accuracy": 1.0}


def test_after_a_collapse_it_starts_again():
    method = tent().eval()
    optimizer = method.make_optimizer(method.affine)
    start = [parameter.detach().clone() for parameter in method.affine]
    method.predict_and_step(target_images(5), optimizer)
    assert not all(torch.equal(parameter, old) for parameter, old in zip(method.affine, start, strict=True))
    method.guard.highest.fill_(99.0)
    optimizer.state[method.affine[0]] = {"step": 1}
    method._mend(optimizer)
    assert all(torch.equal(parameter, old) for parameter, old in zip(method.affine, start, strict=True))
    assert not optimizer.state


OPTIONS = ("method=tent", "data.target_views=[shift]", "trainer.max_epochs=2")


def test_stopped_run_goes_on_with_the_same_guard(archives, tmp_path):
    assert_stop_changes_nothing(tmp_path, *archives, *OPTIONS, batches=3)


def test_evaluation_is_the_same_stream_again(archives, tmp_path):
    metrics = run.train(compose(tmp_path, *archives, *OPTIONS))
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path))
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    found = evaluation.evaluate(checkpoint["config"], checkpoint)
    for name in ("target/test_accuracy", "target/online_test_accuracy"):
        assert found[name] == metrics[name]


@pytest.mark.parametrize("options", [("method.batch_norm=frozen",), ("model.freeze=backbone", "model.bottleneck=null")])
def test_a_model_without_batch_norm_that_may_adapt_is_refused(archives, tmp_path, options):
    with pytest.raises(ConfigError, match="no batch norm that is not frozen"):
        assembly.build(compose(tmp_path, *archives, "method=tent", *options))
