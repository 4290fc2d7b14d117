"""SHOT: its step is that of the paper, its labels are made when and of what they should be, and it never sees the source."""

import copy
from types import SimpleNamespace

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_classifier, tiny_method
from small_runs import compose, differences, train_and_stop, trained_state
from torch.nn import functional as F

from acclimate.errors import ConfigError, Interrupted
from acclimate.methods.shot import Shot
from acclimate.training import assembly, run
from acclimate.types import DomainBatch, Labelled, Unlabelled

NUM_IMAGES = 11


def training_images():
    generator = torch.Generator().manual_seed(3)
    return torch.rand(NUM_IMAGES, 3, 8, 8, generator=generator, dtype=torch.float64) ** 2


def in_batches(images, size=4):
    return [Unlabelled([batch]) for batch in images.split(size)]


def target_batch(num_target):
    samples = torch.randperm(NUM_IMAGES, generator=torch.Generator().manual_seed(num_target))[:num_target]
    images = training_images()[samples]
    return DomainBatch(Labelled(images[:0], torch.empty(0, dtype=torch.int64)), Unlabelled([images], samples))


def shot(**options):
    method = tiny_method(Shot, **options)
    # Away from zero, so that not all images look alike to the head.
    with torch.no_grad():
        method.classifier.head.weight.mul_(5)
    return method


def published_labels(classifier, images):
    """The published code's labels, written with loops."""
    classifier = copy.deepcopy(classifier).eval()
    features, logits = (tensor.detach() for tensor in classifier(images))
    rows = torch.cat([features, torch.ones(len(features), 1).double()], dim=1)
    rows = rows / rows.norm(dim=1, keepdim=True)
    affinity, predicted = torch.softmax(logits, dim=1), logits.argmax(dim=1).tolist()
    for _ in range(2):
        centroids = {k: sum(affinity[i, k] * rows[i] for i in range(len(rows))) / affinity[:, k].sum() for k in sorted(set(predicted))}
        predicted = [max(centroids, key=lambda k: float(F.cosine_similarity(row, centroids[k], dim=0))) for row in rows]
        affinity = torch.eye(logits.shape[1]).double()[predicted]
    return torch.tensor(predicted)


@pytest.mark.parametrize("num_target", [size for _, size in UNEQUAL_SIZES])
def test_step_is_that_of_the_paper(num_target):
    method = shot(pseudo_label_weight=0.7)
    method.label(in_batches(training_images()))
    expected_labels = published_labels(method.classifier, training_images())

    def algorithm(twin, batch):
        logits = twin.classifier.head(twin.classifier(batch.target.views[0]).features)
        probabilities = torch.softmax(logits, dim=1)
        entropy = -(probabilities * torch.log(probabilities)).sum(dim=1).mean()
        mean = probabilities.mean(dim=0)
        information = entropy + (mean * torch.log(mean)).sum()
        chosen = torch.stack(
            [torch.log(row[expected_labels[sample]]) for row, sample in zip(probabilities, batch.target.samples, strict=True)]
        )
        losses = {"information_maximisation": information, "pseudo_label": -0.7 * chosen.mean()}
        return Objectives(losses, sum(losses.values()))

    assert_same_step(method, target_batch(num_target), algorithm)


def test_terms_of_the_same_names_are_added_to_its_losses():
    terms = {"pseudo_label": lambda logits: logits.square().sum(), "other": lambda logits: logits.sum()}
    method, batch = shot(terms=terms), target_batch(4)
    method.label(in_batches(training_images()))
    method.training_step(batch, 0)
    own, added = dict(method.logged), method.classifier(batch.target.inputs).logits
    assert own["loss/pseudo_label_2"] == pytest.approx(added.square().sum().item())
    alone = shot()
    alone.label(in_batches(training_images()))
    alone.training_step(batch, 0)
    assert own["loss/pseudo_label"] == alone.logged["loss/pseudo_label"] > 0
    assert own["loss/total"] == pytest.approx(alone.logged["loss/total"] + added.square().sum().item() + added.sum().item())


def test_labels_are_those_of_the_published_code_however_images_are_batched():
    method = shot()
    expected = published_labels(method.classifier, training_images())
    assert len(expected.unique()) > 1
    for size in (1, 4, NUM_IMAGES):
        method.label(in_batches(training_images(), size))
        assert torch.equal(method.pseudo_labels, expected)


def test_every_step_measures_how_many_labels_are_not_the_predicted_classes():
    method, batch = shot(), target_batch(4)
    predicted = method.passes(batch).target.logits.argmax(dim=1)
    method.pseudo_labels = torch.zeros(NUM_IMAGES, dtype=torch.int64)
    method.pseudo_labels[batch.target.samples] = torch.stack([predicted[0], *(predicted[1:] + 1) % 3])
    method.before_pass = lambda batch: None
    method.training_step(batch, 0)
    assert method.logged["adaptation/relabelled"] == 0.75


def test_labelling_leaves_statistics_and_modes_alone():
    method = shot()
    method.classifier.backbone.eval()
    before = copy.deepcopy(method.state_dict())
    method.label(in_batches(training_images()))
    assert differences(before, method.state_dict()) == []
    assert not method.classifier.backbone.training
    assert method.classifier.bottleneck.training


def test_the_head_stays_and_the_rest_learns():
    method = shot()
    grouped = {id(parameter) for group in method.parameter_groups() for parameter in group["params"]}
    head = {id(parameter) for parameter in method.classifier.head.parameters()}
    assert grouped == {id(parameter) for parameter in method.classifier.parameters()} - head


@pytest.mark.parametrize(("labellings", "expected"), [(1, [0]), (2, [0, 50]), (4, [0, 25, 50, 75]), (1000, list(range(100)))])
def test_labels_are_made_in_equal_intervals_of_the_training(labellings, expected, monkeypatch):
    method = shot(labellings=labellings)
    times = []
    monkeypatch.setattr(method, "label", lambda images: times.append(method.batches_done))
    method.data = SimpleNamespace(unlabelled_target=list)
    for method.batches_done in range(100):
        method.before_pass(tiny_batch())
    assert times == expected


OPTIONS = ("method=shot", "data.target_views=[shift]", "model.dropout=0.3", "trainer.max_epochs=3")


def test_stopped_run_goes_on_with_the_labels_that_it_had(archives, tmp_path):
    """Two labellings, before batches 0 and 9; the stop is after batch 5."""
    options = (*archives, *OPTIONS, "method.labellings=2", "trainer.max_epochs=3")
    run.train(compose(tmp_path / "whole", *options))
    config = compose(tmp_path / "stopped", *options)
    with pytest.raises(Interrupted):
        train_and_stop(config, hook="on_train_batch_end", batches=5)
    saved = torch.load(tmp_path / "stopped" / "checkpoints" / "last.ckpt", weights_only=True)["pseudo_labels"]
    assert len(saved) == 15
    run.train({**config, "resume": True})
    assert differences(trained_state(tmp_path / "whole"), trained_state(tmp_path / "stopped")) == []
    first, second = (torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "stopped"))
    assert torch.equal(first["pseudo_labels"], second["pseudo_labels"])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_backbone_learns_also_in_a_step_that_labels(archives, tmp_path, precision):
    """Also under autocast the pass without gradients must take none from the pass that follows."""
    options = (f"trainer.precision={precision}", "trainer.max_steps=1", "method.labellings=1")
    parts = assembly.build(compose(tmp_path, *archives, *OPTIONS, *options))
    before = {name: parameter.detach().clone() for name, parameter in parts.method.classifier.backbone.named_parameters()}
    parts.trainer.fit(parts.method, parts.data)
    assert all(not torch.equal(before[name], parameter) for name, parameter in parts.method.classifier.backbone.named_parameters())


def test_features_that_cannot_move_are_refused():
    classifier = tiny_classifier()
    classifier.bottleneck = torch.nn.Identity()
    classifier.freeze_backbone()
    with pytest.raises(ConfigError, match="backbone is frozen"):
        Shot(classifier, optimizer=torch.optim.SGD, schedule=float)
