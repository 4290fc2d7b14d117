"""The lines by which a person sees what a run is about to do."""

import logging

import pytest
from small_runs import compose

from acclimate.training import assembly
from acclimate.training.run import train
from acclimate.training.run_overview import describe_training


@pytest.mark.parametrize(
    ("options", "length"),
    [
        (["trainer.max_epochs=3"], "15 steps (3 epochs of 5 batches)"),
        (["trainer.max_steps=20"], "20 steps (4 epochs of 5 batches)"),
        (["trainer.max_epochs=3", "+trainer.limit_train_batches=2"], "6 steps (3 epochs of 2 batches)"),
        (["trainer.max_epochs=3", "+trainer.limit_train_batches=0.5"], "6 steps (3 epochs of 2 batches)"),
        (["trainer.max_epochs=2", "+trainer.accumulate_grad_batches=2"], "4 steps (2 epochs of 5 batches)"),
        (["trainer.max_epochs=2", "data.epoch=target"], "10 steps (2 epochs of 5 batches)"),
    ],
)
def test_the_length_is_that_of_the_training(archives, tmp_path, options, length):
    lines = describe_training(assembly.build(compose(tmp_path, *archives, "method=dann", *options)), tmp_path)
    assert f"training: Dann, {length}" in lines
    assert f"results: {tmp_path}" in lines


def test_a_run_names_the_checkpoint_that_it_starts_from_and_says_if_target_labels_selected_it(archives, tmp_path, caplog):
    short = (*archives, "method=source_only", "trainer.max_steps=1")
    train(compose(tmp_path / "oracle", *short, "selection=oracle"))
    train(compose(tmp_path / "second", *short, f"init_from={tmp_path / 'oracle'}"))
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="acclimate"):
        train(compose(tmp_path / "third", *short, f"init_from={tmp_path / 'second'}"))
    assert f"model: small_cnn, from {tmp_path / 'second'}; " in caplog.text
    assert "Target labels selected the checkpoint of init_from=" in caplog.text


def test_what_trains_is_counted(archives, tmp_path):
    run = assembly.build(compose(tmp_path, *archives, "method=linear_probe", "data.target=null", "model.bottleneck=null"))
    head = sum(parameter.numel() for parameter in run.method.classifier.head.parameters())
    everything = sum(parameter.numel() for parameter in run.method.parameters())
    assert f"model: small_cnn, from random weights; {head:,} of {everything:,} parameters train" in describe_training(run, tmp_path)


def test_the_training_is_called_by_the_name_of_the_run(archives, tmp_path):
    """Commands set it to that of the method; many methods share a class, such as Supervised."""
    run = assembly.build(compose(tmp_path, *archives, "method=linear_probe", "data.target=null", "name=linear_probe"))
    assert any(line.startswith("training: linear_probe, ") for line in describe_training(run, tmp_path))
