"""No label of the target's training or validation part changes anything but an oracle."""

import pytest
import torch
from small_runs import METHODS, compose, differences, trained_state

from acclimate import run
from acclimate.config import group_options
from acclimate.data.arrays import Arrays
from acclimate.types import DomainBatch, Labelled, Unlabelled

TIMES = ("train/seconds", "train/samples_per_second")


def train_tampered(folder, archives, tamper, *overrides):
    config = compose(folder, *archives, "trainer.max_epochs=3", *overrides, "data._target_=small_runs.Tampered", f"data.tamper={tamper}")
    metrics = {name: value for name, value in run.train(config).items() if name not in TIMES}
    return metrics, trained_state(folder), trained_state(folder, "best.ckpt")


@pytest.mark.parametrize("method", METHODS)
def test_target_labels_change_neither_weights_nor_selection(archives, tmp_path, method):
    expected = train_tampered(tmp_path / "nothing", archives, "nothing", f"method={method}")
    for tamper in ("permute", "replace", "remove"):
        found = train_tampered(tmp_path / tamper, archives, tamper, f"method={method}")
        assert differences(expected, found) == [], tamper


def test_target_labels_change_no_estimate_of_the_target_s_classes(archives, tmp_path):
    options = ("method=dann", "method.target_class_weights=estimated", "data.source_sampling=balanced")
    expected = train_tampered(tmp_path / "nothing", archives, "nothing", *options)
    for tamper in ("permute", "replace", "remove"):
        assert differences(expected, train_tampered(tmp_path / tamper, archives, tamper, *options)) == [], tamper


@pytest.mark.parametrize("selection", [name for name in group_options("selection") if name != "oracle"])
def test_target_labels_change_no_selection(archives, tmp_path, selection):
    choices = ("method=dann", f"selection={selection}")
    expected = train_tampered(tmp_path / "nothing", archives, "nothing", *choices)
    for tamper in ("permute", "replace", "remove"):
        found = train_tampered(tmp_path / tamper, archives, tamper, *choices)
        assert differences(expected, found) == [], tamper


def test_oracle_does_look_at_them(archives, tmp_path):
    oracle = ("method=dann", "selection=oracle", "data.val_fraction=0.5", "trainer.max_epochs=12", "optimizer.lr=0.01")
    expected, *_ = train_tampered(tmp_path / "nothing", archives, "nothing", *oracle)
    found, *_ = train_tampered(tmp_path / "permute", archives, "permute", *oracle)
    assert expected["selection/value"] != found["selection/value"]
    assert expected["selection/value"] == expected["target/val_oracle_accuracy"]


@pytest.mark.parametrize("selection", ["oracle", "information"])
def test_what_labels_of_the_target_were_used_for_is_marked_in_every_record(archives, tmp_path, selection):
    """Names with the word oracle are in the console's and TensorBoard's metrics and in metrics.json under the oracle alone."""
    parts = run.build(compose(tmp_path, *archives, "method=dann", f"selection={selection}", "trainer.max_epochs=1"))
    parts.trainer.fit(parts.method, parts.data)
    names = {"selection/is_oracle", "target/val_oracle_accuracy"} if selection == "oracle" else set()
    for metrics in (parts.trainer.callback_metrics, parts.trainer.logged_metrics, parts.trainer.progress_bar_metrics):
        assert {name for name in metrics if "oracle" in name} == names


def loaders(archives, *, reveal):
    source, target = (text.partition("=")[2] for text in archives[1:])
    data = Arrays(source=source, target=target, batch_size=4)
    data.prepare_for(image_size=16, needs_target=True, reveal_target_labels=reveal)
    return data


def test_batches_have_no_place_for_target_labels(archives):
    data = loaders(archives, reveal=False)
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, DomainBatch)
    assert Unlabelled._fields == ("views", "samples")
    assert type(batch.target) is Unlabelled
    assert data.evaluated_domains("val") == ["source", "target"]
    assert [type(next(iter(loader))) for loader in data.val_dataloader()] == [Labelled, Unlabelled]
    assert [type(next(iter(loader))) for loader in data.test_dataloader()] == [Labelled, Labelled]


def test_oracle_reveals_labels_in_validation_but_not_in_training(archives):
    data = loaders(archives, reveal=True)
    assert [type(next(iter(loader))) for loader in data.val_dataloader()] == [Labelled, Labelled]
    assert type(next(iter(data.train_dataloader())).target) is Unlabelled


def test_target_views_do_not_carry_the_labels(archives):
    data = loaders(archives, reveal=False)
    assert all(view.dtype == torch.uint8 and view.shape[1:] == (3, 16, 16) for view in next(iter(data.train_dataloader())).target.views)
