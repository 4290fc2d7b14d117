"""Co-tuning against the paper's algorithm, and where its head and its translation come from."""

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_classifier, tiny_method
from small_runs import compose, differences, pretrained_cnn
from torch import nn

from acclimate.errors import ConfigError
from acclimate.methods.co_tuning import CoTuning
from acclimate.methods.parts.category_relationship import calibrated_relationship, direct_relationship
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run

NUM_PRETRAINED = 5
TRANSLATION = torch.tensor([[0.7, 0.1, 0.1, 0.1, 0.0], [0.0, 0.5, 0.5, 0.0, 0.0], [0.2, 0.2, 0.2, 0.2, 0.2]], dtype=torch.float64)


def pretrained_classifier():
    classifier = tiny_classifier()
    classifier.pretrained = True
    classifier.backbone.make_source_head = lambda: nn.Linear(16, NUM_PRETRAINED)
    return classifier


def co_tuning(**options):
    # At one rate for all, which the comparison of steps takes.
    method = tiny_method(CoTuning, classifier=pretrained_classifier, backbone_rate=1.0, **options)
    method.relationship.copy_(TRANSLATION)
    return method


def algorithm(method, batch):
    features = method.classifier.backbone(batch.source.inputs)
    logits = method.classifier.head(method.classifier.bottleneck(features))
    numbers = range(len(features))
    task = -logits.log_softmax(dim=1)[numbers, batch.source.labels].mean()
    pretrained = -(TRANSLATION[batch.source.labels] * method.source_head(features).log_softmax(dim=1)).sum(dim=1).mean()
    losses = {"classification": task, "pretrained_classification": 0.7 * pretrained}
    return Objectives(losses, task + 0.7 * pretrained, 0.7 * pretrained)


@pytest.mark.parametrize(("num_source", "num_target"), UNEQUAL_SIZES)
def test_step_equals_the_paper_s_algorithm(num_source, num_target):
    assert_same_step(co_tuning(pretrained_weight=0.7), tiny_batch(num_source, num_target)._replace(target=None), algorithm)


def test_old_head_moves_at_the_rate_of_the_backbone():
    method = tiny_method(CoTuning, classifier=pretrained_classifier, backbone_rate=0.1)
    assert [(group["name"], group["rate"]) for group in method.parameter_groups()] == [("backbone", 0.1), ("head", 1.0), ("method", 0.1)]


def test_mixed_labels_are_translated_as_they_are_mixed():
    method, batch = co_tuning(), tiny_batch(4, 4)._replace(target=None)
    rows = torch.eye(3, dtype=torch.float64)[batch.source.labels]

    def loss(labels):
        return method.source_losses(method.passes(batch).source._replace(labels=labels))["pretrained_classification"]

    torch.testing.assert_close(loss(rows), loss(batch.source.labels))
    torch.testing.assert_close(loss(0.5 * rows + 0.5 * rows.roll(1, 0)), 0.5 * loss(rows) + 0.5 * loss(rows.roll(1, 0)))


@pytest.mark.parametrize(("name", "relate"), [("calibrated", calibrated_relationship), ("direct", direct_relationship)])
def test_translation_is_of_all_training_images_before_training_and_stays(archives, tmp_path, name, relate):
    options = ("method=co_tuning", f"method.relationship={name}", "trainer.max_epochs=2", "callbacks={}", "data.source_view=shift")
    parts = assembly.build(compose(tmp_path, *archives, *options))
    method, images = parts.method, parts.data.domains.source.train
    with torch.no_grad():
        pixels = images.load(range(len(images)))
        method.eval()
        probabilities = method.source_head(method.classifier.backbone(pixels)).softmax(dim=1)
        method.train()
    parts.trainer.fit(method, parts.data)
    expected = relate(probabilities, images.labels, num_classes=3)
    torch.testing.assert_close(method.relationship, expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(expected, torch.full_like(expected, 1 / 7))


def test_finished_run_is_evaluated_with_the_head_of_its_checkpoint(archives, tmp_path):
    config = compose(tmp_path, *archives, "method=co_tuning", "trainer.max_epochs=1")
    metrics = run.train(config)
    checkpoint = checkpoints.read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    assert checkpoint["state_dict"]["source_head.weight"].shape == (7, 64 * 4)
    config = checkpoint["config"]
    del config["trainer"]["enable_progress_bar"]
    again = evaluation.evaluate(config, checkpoint)
    assert differences(again["source/test_accuracy"], metrics["source/test_accuracy"]) == []


@pytest.mark.parametrize(
    ("backbone", "weights"), [("small_runs.pretrained_cnn", None), ("small_runs.headless_cnn", True)], ids=["random", "no head"]
)
def test_model_without_a_pretrained_head_is_refused(archives, tmp_path, backbone, weights):
    config = compose(tmp_path, *archives, "method=co_tuning")
    config["model"]["weights"] = weights
    config["model"]["backbone"]["_target_"] = backbone
    with pytest.raises(ConfigError, match="trains the head that a pretrained model came with, but this model has none"):
        assembly.build(config)


def test_weights_from_a_file_come_without_a_head(archives, tmp_path):
    torch.save(pretrained_cnn(True, width=4).body.state_dict(), tmp_path / "weights.pt")
    config = compose(tmp_path, *archives, "method=co_tuning")
    config["model"]["weights"] = str(tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="but this model has none"):
        assembly.build(config)


def test_start_from_a_run_is_refused(archives, tmp_path):
    config = compose(tmp_path / "first", *archives, "method=co_tuning", "trainer.max_epochs=1")
    run.train(config)
    with pytest.raises(ConfigError, match="does not contain it"):
        assembly.build(compose(tmp_path / "second", *archives, "method=co_tuning", f"init_from={tmp_path / 'first'}"))
