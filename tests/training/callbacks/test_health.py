"""Warnings while a run trains: every run here but the healthy ones is made to fail in one way."""

import logging

import numpy as np
import pytest
import torch
from small_runs import compose, shifted_domains, train_and_stop
from torch import nn

from acclimate.errors import Interrupted
from acclimate.training import assembly, run
from acclimate.training.callbacks.accuracies import train_accuracy
from acclimate.training.callbacks.health import Health

# 100 images of each domain train, in 4 batches an epoch, and 100 validate.
TEN_EPOCHS = (
    "data.batch_size=25",
    "data.target_batch_size=25",
    "data.val_fraction=0.5",
    "optimizer.lr=0.01",
    "trainer.max_epochs=10",
    "trainer.log_every_n_steps=1",
)
# Once the source is learned, the adversary takes over.
TOO_STRONG = ("method=dann", "method.max_reversal=300", "method.steepness=1")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The options for targets that are turned against the source, inverted besides, or turned less and without the last class."""
    folder = tmp_path_factory.mktemp("archives")
    source, target = shifted_domains(num_source=200, num_target=200, num_test=30, degrees=45)
    # So little that what is learned on the source holds: whether a class seems to be missing is then no matter of rounding.
    _, similar = shifted_domains(num_source=200, num_target=200, num_test=30, degrees=20)
    kept = {part: similar[f"y_{part}"] < 2 for part in ("train", "test")}
    targets = {
        "turned": target,
        "inverted": {name: 255 - array if name.startswith("x") else array for name, array in target.items()},
        "partial": {name: array[kept[name[2:]]] for name, array in similar.items()},
    }
    np.savez(folder / "source.npz", **source)
    for name, archive in targets.items():
        np.savez(folder / f"{name}.npz", **archive)
    return {name: ["data=arrays", f"data.source={folder / 'source.npz'}", f"data.target={folder / name}.npz"] for name in targets}


@pytest.fixture
def warnings(archives, tmp_path, caplog):
    """Train and return what is warned of."""

    def train(*overrides, target="turned", change=lambda method: None):
        parts = assembly.build(compose(tmp_path, *archives[target], *TEN_EPOCHS, *overrides))
        change(parts.method)
        parts.trainer.fit(parts.method, parts.data)
        return said(caplog)

    return train


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING and record.name.startswith("acclimate")]


def health(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["Health"]


@pytest.mark.parametrize("method", ["dann", "mcc", "source_only"])
def test_a_healthy_run_gives_no_warning(warnings, method):
    assert warnings(f"method={method}") == []


def test_a_run_without_a_target_gives_no_warning(warnings):
    assert warnings("method=source_only", "data.target=null") == []


def test_few_predicted_classes_are_warned_of(warnings):
    # It begins with one class, and certainty keeps it there.
    def change(method):
        method.classifier.head.bias.data[0] = 10

    found = warnings("method=entropy_minimisation", "method.term_weights.entropy_minimisation=100", change=change)
    (message,) = [message for message in found if message.startswith("Prediction collapse")]
    assert "100% of the 100 validation inputs of the target" in message
    assert "+terms=information_maximisation" in message


def test_a_constant_discriminator_is_called_blind(warnings):
    # The classic mistake: a softmax over one unit.
    def change(method):
        method.discriminator = nn.Sequential(method.discriminator, nn.Softmax(dim=1))

    (message,) = warnings("method=dann", change=change)
    assert message.startswith("Blind discriminator: its accuracy has not exceeded 50% in any tenth of the training so far")


@pytest.mark.parametrize("options", [("method=dann", "method.max_reversal=0"), ("method=adda", "method.adversarial_weight=0")])
def test_a_discriminator_that_nothing_works_against_is_called_saturated(warnings, options):
    found = warnings(*options, target="inverted")
    assert any(message.startswith("Saturated discriminator: for three tenths of the training") for message in found)


def test_a_missing_class_is_called_label_shift(warnings):
    (message,) = warnings("method=source_only", "data.batch_size=5", target="partial")
    assert message.startswith("Label shift")
    assert "2 from 33% to" in message


def test_a_source_that_is_unlearned_is_warned_of_once_also_over_a_stop(archives, tmp_path, caplog):
    whole = compose(tmp_path / "whole", *archives["turned"], *TEN_EPOCHS, *TOO_STRONG)
    run.train(whole)
    expected = said(caplog)
    assert len([message for message in expected if message.startswith("Source accuracy falls")]) == 1
    caplog.clear()
    # In the middle of an epoch, when all has been said.
    config = compose(tmp_path / "stopped", *archives["turned"], *TEN_EPOCHS, *TOO_STRONG)
    with pytest.raises(Interrupted):
        train_and_stop(config, hook="on_train_batch_end", batches=38)
    before = said(caplog)
    run.train({**config, "resume": True})
    assert before == said(caplog) == expected
    state = health(tmp_path / "stopped")
    assert state == health(tmp_path / "whole")
    assert len(state["history"]) == 10
    assert all(total > 0 for total in state["domain_accuracy"])
    assert sum(state["num_logged"]) == 40


def test_only_validations_of_the_training_are_judged(archives, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives["turned"], *TEN_EPOCHS, "method=source_only", "trainer.max_epochs=1"))
    parts.trainer.fit(parts.method, parts.data)
    parts.trainer.validate(parts.method, parts.data, verbose=False)
    (judge,) = [callback for callback in parts.trainer.callbacks if isinstance(callback, Health)]
    assert len(judge.history) == 1


def verdict(caplog):
    lines = [record.getMessage() for record in caplog.records if record.name == "acclimate.training.run"][-4:]
    caplog.clear()
    return lines


def test_the_verdict_is_the_same_after_a_stop(archives, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="acclimate.training.run")
    short = (*archives["turned"], "method=dann", *TEN_EPOCHS, "trainer.max_epochs=3")
    metrics = run.train(compose(tmp_path / "whole", *short))
    lines = verdict(caplog)
    assert [line.partition("?")[0] for line in lines[:3]] == ["Is it learning", "Is it adapting", "Can it be trusted"]
    assert f"{metrics['source/val_accuracy']:.2f} on validation inputs" in lines[0]
    config = compose(tmp_path / "stopped", *short)
    with pytest.raises(Interrupted):
        train_and_stop(config, hook="on_train_batch_end", batches=7)
    assert not any("Is it learning" in line for line in verdict(caplog))
    run.train({**config, "resume": True})
    assert verdict(caplog) == lines


def test_a_memorised_source_is_warned_of_at_the_end(archives, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("acclimate.training.callbacks.health.train_accuracy", lambda *arguments: 1.0)
    run.train(compose(tmp_path, *archives["turned"], *TEN_EPOCHS, "method=source_only", "trainer.max_epochs=1", "optimizer.lr=0.0001"))
    assert [message.partition(":")[0] for message in said(caplog)][-1] == "Memorised source"


def test_the_accuracy_on_training_inputs_is_that_of_all_if_as_many_are_asked_for(archives, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives["turned"], *TEN_EPOCHS, "method=source_only", "trainer.max_epochs=1"))
    parts.trainer.fit(parts.method, parts.data)
    parts.method.eval()
    batches = list(parts.data.training_parts().labelled_source())
    correct = [parts.method.classifier(batch.inputs).logits.argmax(dim=1) == batch.labels for batch in batches]
    assert train_accuracy(parts.trainer, parts.method, 1000) == pytest.approx(torch.cat(correct).double().mean().item())
    assert train_accuracy(parts.trainer, parts.method, 1) in (0, 1)


def test_an_early_end_is_judged_as_an_end(warnings):
    options = ("trainer.max_epochs=100", "callbacks=early_stopping", "callbacks.early_stopping.patience=2")
    found = warnings("method=source_only", "selection=last", *options, "callbacks.early_stopping.min_delta=1000", target="partial")
    assert [message.partition(":")[0] for message in found] == ["Label shift"]
