"""A run that starts from the classifier of another, with any method."""

import shutil

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from small_runs import compose, differences, train_and_stop, trained_state, write_archives

from acclimate.errors import ConfigError, Interrupted
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run

SHORT = ("trainer.max_epochs=1",)


@pytest.fixture(scope="module")
def origin(archives, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("origin")
    run.train(compose(folder, *archives, "method=source_only", *SHORT))
    return folder


@pytest.fixture
def copied(origin, tmp_path):
    """The same in a folder of its own, which may be spoilt."""
    return shutil.copytree(origin, tmp_path / "origin")


def classifier_tensors(checkpoint):
    return {name: tensor for name, tensor in checkpoint["state_dict"].items() if name.startswith("classifier.")}


class FirstWeights(Callback):
    """Callback that keeps the classifier as it is before the first batch."""

    def on_train_start(self, trainer, method):
        self.seen = {f"classifier.{name}": tensor.clone() for name, tensor in method.classifier.state_dict().items()}


@pytest.mark.parametrize("method", ["dann", "mcd", "source_only", "fine_tune"])
def test_training_starts_from_the_selected_checkpoint(archives, origin, tmp_path, method):
    bottleneck = "model.bottleneck=8"
    parts = assembly.build(compose(tmp_path, *archives, f"method={method}", bottleneck, f"init_from={origin}", *SHORT))
    first = FirstWeights()
    parts.trainer.callbacks.insert(0, first)
    parts.trainer.fit(parts.method, parts.data)
    assert differences(classifier_tensors(checkpoints.read_checkpoint(checkpoints.best_checkpoint(origin))), first.seen) == []


def test_a_checkpoint_file_means_itself(archives, origin, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", f"init_from={origin / 'checkpoints' / 'last.ckpt'}"))
    saved = classifier_tensors(checkpoints.read_checkpoint(checkpoints.last_checkpoint(origin)))
    assert differences(saved, {f"classifier.{name}": tensor for name, tensor in parts.method.classifier.state_dict().items()}) == []


def test_a_teacher_starts_from_it_too(archives, origin, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives, "method=mean_teacher", f"init_from={origin}"))
    teacher = parts.method.extras.by_name["terms"].terms["mean_teacher"].teacher.module
    assert differences(dict(parts.method.classifier.state_dict()), dict(teacher.state_dict())) == []


def test_images_have_the_size_that_the_classifier_was_trained_on(archives, origin, tmp_path):
    options = (*archives, "method=dann", f"init_from={origin}")
    assert assembly.build(compose(tmp_path, *options, "data.image_size=null")).data.kind.image_size == 16
    assert assembly.build(compose(tmp_path, *options, "data.image_size=24")).data.kind.image_size == 24


def test_weights_of_the_model_are_not_fetched_but_keep_the_backbone_slower(archives, origin, tmp_path):
    options = (*archives, "method=dann", f"init_from={origin}")
    assert assembly.build(compose(tmp_path, *options)).method.backbone_rate == 1.0
    assert assembly.build(compose(tmp_path, *options, "model.weights=nowhere.pth")).method.backbone_rate == 0.1


def test_neither_a_resumed_run_nor_its_evaluation_needs_the_other_run(archives, copied, tmp_path):
    options = (*archives, "method=dann", f"init_from={copied}", "trainer.max_epochs=2")
    expected = run.train(compose(tmp_path / "whole", *options))
    config = compose(tmp_path / "stopped", *options)
    with pytest.raises(Interrupted):
        train_and_stop(config, hook="on_train_batch_end", batches=4)
    shutil.rmtree(copied)
    run.train({**config, "resume": True})
    assert differences(trained_state(tmp_path / "whole"), trained_state(tmp_path / "stopped")) == []
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path / "whole"))
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    assert evaluation.evaluate(checkpoint["config"], checkpoint)["target/test_accuracy"] == expected["target/test_accuracy"]


def test_a_run_from_before_there_was_such_a_key_is_still_evaluated(archives, origin):
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(origin))
    del checkpoint["config"]["trainer"]["enable_progress_bar"], checkpoint["config"]["init_from"]
    assert "target/test_accuracy" in evaluation.evaluate(checkpoint["config"], checkpoint)


def test_another_architecture_is_refused_with_both_named(archives, origin, tmp_path):
    with pytest.raises(ConfigError) as caught:
        assembly.build(compose(tmp_path, *archives, "method=dann", f"init_from={origin}", "model.bottleneck=16", "model.dropout=0.1"))
    assert "There: model.bottleneck=8. Here: model.bottleneck=16." in str(caught.value)


def test_other_classes_are_refused_with_both_named(origin, tmp_path):
    archives = write_archives(tmp_path)
    archive = dict(torch.load(checkpoints.best_checkpoint(origin), weights_only=True))
    torch.save(archive | {"classes": ["cat", "dog", "bird"]}, tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match="The data has the classes 0, 1, 2, but the model knows cat, dog, bird"):
        assembly.build(compose(tmp_path, *archives, "method=dann", f"init_from={tmp_path / 'other.ckpt'}"))


def test_an_unfinished_run_is_refused_with_the_command_that_finishes_it(archives, copied, tmp_path):
    (copied / "metrics.json").unlink()
    with pytest.raises(ConfigError, match=rf"acclimate train resume={copied}"):
        assembly.build(compose(tmp_path, *archives, "method=dann", f"init_from={copied}"))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (None, "There is no .*other.ckpt"),
        (b"nonsense", "cannot be read as a checkpoint"),
        ({"state_dict": {}}, "contains no configuration"),
    ],
)
def test_what_is_no_checkpoint_of_a_run_is_named(archives, tmp_path, contents, message):
    file = tmp_path / "other.ckpt"
    if isinstance(contents, bytes):
        file.write_bytes(contents)
    elif contents is not None:
        torch.save(contents, file)
    with pytest.raises(ConfigError, match=message):
        assembly.build(compose(tmp_path, *archives, "method=dann", f"init_from={file}"))


def test_a_value_that_is_no_place_is_refused(archives, tmp_path):
    with pytest.raises(ConfigError, match="init_from=3 must be the folder of a run, a checkpoint, or null"):
        run.train(compose(tmp_path, *archives, "method=dann", "init_from=3"))
