"""Mixup, CutMix, label smoothing and class weights work with every method that sees labelled images, or are refused."""

import pytest
import torch
from small_runs import METHODS, SELF_SUPERVISED, SOURCE_FREE, build_method, compose
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.training import assembly

# deep_jdot balances batches by itself, which goes with no class weights.
ALL = (
    *("method.mixup=0.4", "method.cutmix=1", "method.label_smoothing=0.1"),
    *("method.class_weights=balanced", "data.source_sampling=natural"),
)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in (*SOURCE_FREE, *SELF_SUPERVISED)])
def test_every_method_trains_with_all_of_them(archives, tmp_path, method):
    parts = assembly.build(compose(tmp_path, *archives, f"method={method}", *ALL, "trainer.max_steps=2", "callbacks={}"))
    before = {name: value.clone() for name, value in parts.method.classifier.state_dict().items()}
    parts.trainer.fit(parts.method, parts.data)
    after = parts.method.classifier.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert not torch.equal(before["head.weight"], after["head.weight"])


@pytest.mark.parametrize("method", [*SOURCE_FREE, *SELF_SUPERVISED])
def test_methods_that_see_no_source_refuse_them(archives, tmp_path, method):
    with pytest.raises(ConfigError, match="apply to labelled source inputs, but this method uses none"):
        assembly.build(compose(tmp_path, *archives, f"method={method}", "method.label_smoothing=0.1"))


def classification(method, batch):
    """Return the classification loss that a training step logs, and its images."""
    logged = {}
    method.log_dict = lambda values, **_: logged.update(values)
    seen = []
    hook = method.classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    torch.manual_seed(7)
    method.training_step(batch, 0)
    hook.remove()
    return float(logged["loss/classification"]), seen[0]


def test_the_task_s_loss_is_that_of_the_mixed_images_and_labels(archives, tmp_path):
    """The algorithm written again: Mixup with the image before, smoothing, and weights of the classes."""
    weights, smoothing = torch.tensor([2.0, 1.0, 0.5]), 0.1
    options = ("method.mixup=1", f"method.label_smoothing={smoothing}", "method.class_weights=[2,1,0.5]")
    parts, batch = build_method(compose(tmp_path, *archives, "method=source_only", *options))
    loss, images = classification(parts.method, batch)
    torch.manual_seed(7)
    torch.multinomial(torch.tensor([1.0]), 1)
    share = torch.distributions.Beta(1.0, 1.0).sample()
    mixed = share * batch.source.inputs.float() + (1 - share) * batch.source.inputs.roll(1, 0).float()
    assert (images.float() - mixed).abs().max() <= 0.51
    log_probabilities = parts.method.classifier(images).logits.log_softmax(dim=1)
    expected, total_weight = 0.0, 0.0
    for number, own in enumerate(batch.source.labels):
        for label, part in ((own, share), (batch.source.labels[number - 1], 1 - share)):
            row = weights * ((1 - smoothing) * F.one_hot(label, 3) + smoothing / 3)
            expected -= float(part * (row * log_probabilities[number]).sum())
            total_weight += float(part * weights[label])
    assert loss == pytest.approx(expected / total_weight, rel=1e-4)


def test_balanced_weights_are_of_the_source_s_training_labels(archives, tmp_path):
    parts = assembly.build(
        compose(tmp_path, *archives, "method=source_only", "method.class_weights=balanced", "trainer.max_steps=1", "callbacks={}")
    )
    parts.trainer.fit(parts.method, parts.data)
    labels = parts.data.domains.source.train.labels
    counts = torch.tensor([int((labels == label).sum()) for label in range(3)])
    torch.testing.assert_close(parts.method.extras.by_name["soft_labels"].weights, len(labels) / (3 * counts))


def test_images_of_a_frozen_backbone_are_mixed_and_not_their_features(archives, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives, "method=linear_probe", "method.cutmix=1", "trainer.max_steps=1", "callbacks={}"))
    assert parts.data.frozen_backbone is None
    parts = assembly.build(compose(tmp_path, *archives, "method=linear_probe", "method.label_smoothing=0.1", "callbacks={}"))
    assert parts.data.frozen_backbone is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("method.mixup=1", "method.target_class_weights=estimated"), "needs inputs of a single class"),
        (("method.class_weights=balanced", "method.target_class_weights=estimated"), "needs inputs of a single class"),
        (
            ("method.class_weights=balanced", "data.source_sampling=balanced"),
            r"Set data\.source_sampling=natural, or method\.class_weights=none",
        ),
        (("method.class_weights=[1,2]",), "must be 3 numbers"),
    ],
)
def test_options_that_contradict_each_other_are_refused(archives, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        assembly.build(compose(tmp_path, *archives, "method=dann", *options))


def test_class_weights_go_with_the_natural_sampling_that_the_refusal_advises(archives, tmp_path):
    options = ("method=deep_jdot", "method.class_weights=balanced", "data.source_sampling=natural")
    assert assembly.build(compose(tmp_path, *archives, *options)).method.extras.by_name["soft_labels"].is_balanced
