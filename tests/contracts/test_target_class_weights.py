"""Every method that looks at the target trains on source classes in the target's estimated proportions, if asked to."""

from itertools import product

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback
from small_runs import ADAPTING, ADAPTS, METHODS, SELF_SUPERVISED, SOURCE_FREE, build_method, compose, shifted_domains, trained_state

from acclimate.config.check import check_config
from acclimate.errors import ConfigError
from acclimate.extras.label_shift import ClassProportions, systematic_resample
from acclimate.training import assembly, run

ESTIMATED = "method.target_class_weights=estimated"


def make_believe(proportions, target):
    """As if a faultless classifier had seen equal classes in the source and these proportions in the target."""
    proportions.source_labels.fill_(1)
    proportions.source_predictions.copy_(torch.eye(3))
    proportions.target_predictions.copy_(torch.tensor(target))


class Note(Callback):
    """Callback that keeps the batch as it is given to the method."""

    def __init__(self, notes):
        self.notes = notes

    def on_train_batch_start(self, trainer, method, batch, number):
        self.notes["given"] = batch


@pytest.mark.parametrize("method", sorted(set(ADAPTING) - set(SOURCE_FREE)))
def test_all_that_a_method_does_in_a_step_sees_the_source_in_the_target_s_proportions(archives, tmp_path, method):
    parts = assembly.build(
        compose(tmp_path, *archives, f"method={method}", ESTIMATED, "data.batch_size=12", "trainer.max_steps=1", "callbacks={}")
    )
    trained = parts.method
    make_believe(trained.extras.by_name["class_proportions"], [0.75, 0.25, 0.0])
    # Estimates that one batch of an untrained classifier hardly changes.
    trained.extras.by_name["class_proportions"].momentum = 0.9999
    trained.extras.by_name["class_proportions"].start = 0.0
    seen = {}
    losses, before_pass = trained.losses, trained.before_pass
    trained.before_pass = lambda batch: seen.update(batch=batch) or before_pass(batch)
    # An adversary is trained on the passes that the losses get.
    trained.losses = lambda *passes: seen.update(passes=passes) or losses(*passes)
    parts.trainer.callbacks.insert(0, Note(seen))
    parts.trainer.fit(trained, parts.data)

    batch, (source, target) = seen["batch"], seen["passes"]
    before = seen["given"].source
    counts, expected = batch.source.labels.bincount(minlength=3), before.labels.bincount(minlength=3) * torch.tensor([2.25, 0.75, 0.05])
    assert (counts - 12 * expected / expected.sum()).abs().max() <= 1
    assert source.inputs is batch.source.inputs and source.labels is batch.source.labels
    assert len(source.logits) == len(batch.source.inputs) == 12
    assert len(target.logits) == 3
    # Every image that is left has the label that it came with.
    labels = {bytes(image.numpy().tobytes()): label for image, label in zip(before.inputs, before.labels.tolist(), strict=True)}
    assert [labels[bytes(image.numpy().tobytes())] for image in batch.source.inputs] == batch.source.labels.tolist()
    assert all(parameter.isfinite().all() for parameter in trained.parameters())


@pytest.mark.parametrize("method", ["dann", "dan", "mcc"])
def test_a_step_is_that_of_the_method_on_the_resampled_batch(archives, tmp_path, method):
    options = (*archives, f"method={method}", "data.batch_size=12", "model.dropout=0")
    (weighted, batch), (plain, _) = (build_method(compose(tmp_path, *options, *more)) for more in ((ESTIMATED,), ()))
    make_believe(weighted.method.extras.by_name["class_proportions"], [0.2, 0.3, 0.5])
    torch.manual_seed(5)
    total = weighted.method.training_step(batch, 0)
    torch.manual_seed(5)
    labels = batch.source.labels
    weights = ClassProportions(3)
    make_believe(weights, [0.2, 0.3, 0.5])
    weights.source_labels.mul_(0.98).add_(0.02 * labels.bincount(minlength=3))
    rows = systematic_resample(labels, weights.weights(), torch.rand(()))
    resampled = batch._replace(source=batch.source._replace(inputs=batch.source.inputs[rows], labels=labels[rows]))
    assert torch.equal(total, plain.method.training_step(resampled, 0))


def test_weights_are_logged(archives, tmp_path):
    parts, batch = build_method(compose(tmp_path, *archives, "method=dann", ESTIMATED))
    logged = {}
    parts.method.log_dict = lambda values, **_: logged.update(values)
    make_believe(parts.method.extras.by_name["class_proportions"], [0.75, 0.25, 0.0])
    parts.method.extras.by_name["class_proportions"].momentum = 0.9999
    parts.method.training_step(batch, 0)
    assert logged["label_shift/max_weight"] == pytest.approx(2.25 / 1.05, rel=0.1)
    assert logged["label_shift/min_weight"] == pytest.approx(0.05, rel=0.1)


def test_nothing_is_estimated_unless_asked_for(archives, tmp_path):
    parts, _ = build_method(compose(tmp_path, *archives, "method=dann"))
    assert "class_proportions" not in parts.method.extras.by_name
    assert not any("class_proportions" in name for name in parts.method.state_dict())


def test_batches_stay_as_they_are_until_the_progress_that_is_asked_for(archives, tmp_path):
    parts, batch = build_method(compose(tmp_path, *archives, "method=dann", ESTIMATED, "method.target_class_weights_from=0.6"))
    make_believe(parts.method.extras.by_name["class_proportions"], [1.0, 0.0, 0.0])
    seen = []
    parts.method.before_pass = lambda batch: seen.append(batch.source)
    parts.method.training_step(batch, 0)
    parts.method.training_step(batch, 1)
    assert parts.method.progress == 0.7
    assert [source is batch.source for source in seen] == [True, False]


@pytest.mark.parametrize("method", sorted(set(METHODS) - {*ADAPTING, *SELF_SUPERVISED}))
def test_methods_without_a_target_refuse_it(archives, tmp_path, method):
    with pytest.raises(ConfigError, match=r"method\.target_class_weights=estimated needs the target"):
        assembly.build(compose(tmp_path, *archives, f"method={method}", ESTIMATED))


@pytest.mark.parametrize("method", SOURCE_FREE)
def test_methods_without_a_source_refuse_it(archives, tmp_path, method):
    with pytest.raises(ConfigError, match=r"method\.target_class_weights=estimated weights the source"):
        assembly.build(compose(tmp_path, *archives, f"method={method}", ESTIMATED))


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_start_outside_of_the_training_is_refused(archives, tmp_path, value):
    with pytest.raises(ConfigError, match=rf"method\.target_class_weights_from must be at least 0 and at most 1, but is {value}"):
        check_config(compose(tmp_path, *archives, "method=dann", f"method.target_class_weights_from={value}"))


# Of the target's classes the first is three times as frequent as the second, and the third is missing.
TARGET = (0.75, 0.25, 0.0)


def write_partial(folder, *, degrees):
    """A source of three equal classes, and a target that is turned and lacks one of them."""
    source, target = shifted_domains(num_source=240, num_target=480, num_test=150, degrees=degrees)
    for part in ("train", "test"):
        images, labels = target[f"x_{part}"], target[f"y_{part}"]
        most = (labels == 0).sum()
        kept = np.concatenate([np.flatnonzero(labels == label)[: round(most * share / 0.75)] for label, share in enumerate(TARGET)])
        target |= {f"x_{part}": images[kept], f"y_{part}": labels[kept]}
    np.savez(folder / "source.npz", **source)
    np.savez(folder / "target.npz", **target)
    return ["data=arrays", f"data.source={folder / 'source.npz'}", f"data.target={folder / 'target.npz'}"]


@pytest.mark.parametrize("method", ["dann", "dan", "mcc"])
def test_where_only_the_proportions_differ_their_estimates_come_near_the_truth(tmp_path, method):
    # One normalisation for both domains, because statistics of its own would change how a class looks in the target.
    options = (f"method={method}", ESTIMATED, "method.batch_norm=joint")
    run.train(compose(tmp_path, *write_partial(tmp_path, degrees=0), *ADAPTS, *options))
    proportions = ClassProportions(3)
    state = trained_state(tmp_path)["state_dict"]
    proportions.load_state_dict(
        {name.removeprefix("extras.class_proportions."): state[name] for name in state if "class_proportions" in name}
    )
    source = proportions.source_labels / proportions.source_labels.sum()
    torch.testing.assert_close(source * proportions.weights(), torch.tensor(TARGET), atol=0.1, rtol=0)


@pytest.mark.slow
def test_alignment_gains_where_the_target_lacks_a_class_and_images_differ_too(tmp_path):
    archives = write_partial(tmp_path, degrees=15)
    gains = []
    # Four gains, because one alone varies by more than its mean.
    for method, seed in product(["dann", "cdan"], [0, 1]):
        accuracy = {}
        for choice in ("none", "estimated"):
            words = (f"method={method}", f"seed={seed}", f"method.target_class_weights={choice}")
            results = run.train(compose(tmp_path / f"{method}-{seed}-{choice}", *archives, *ADAPTS, *words))
            accuracy[choice] = results["target/test_accuracy"]
        gains.append(accuracy["estimated"] - accuracy["none"])
    assert np.mean(gains) >= 0.1
