"""Checkpoints that wait in memory, and when they are written."""

import pytest
import torch

from acclimate.runs import checkpoint_files
from acclimate.training.checkpoint_io import ReplacingCheckpointIO


@pytest.fixture
def save(tmp_path):
    """Returns a plug-in and a function that saves a checkpoint of a step whose weights then change."""
    plugin, weights = ReplacingCheckpointIO(), torch.zeros(2)

    def saved(name, step):
        weights.fill_(step)
        plugin.save_checkpoint({"state_dict": {"weights": weights}, "global_step": step, "config": {}}, tmp_path / name)
        weights.fill_(-1)

    return plugin, saved


@pytest.fixture
def step_of(tmp_path, monkeypatch):
    monkeypatch.setattr("acclimate.runs.checkpoint_contents.find_problem", lambda *rest: None)

    def read(name):
        checkpoint = checkpoint_files.load(tmp_path / name)[0]
        assert checkpoint["state_dict"]["weights"].tolist() == [checkpoint["global_step"]] * 2
        return checkpoint["global_step"]

    return read


def test_a_better_checkpoint_waits_until_the_end_of_training(save, step_of):
    plugin, saved = save
    for step in (1, 2, 3):
        saved("best.ckpt", step)
        assert step_of("best.ckpt") == 1
    plugin.teardown()
    assert step_of("best.ckpt") == 3


def test_it_is_written_before_the_last_checkpoint(save, step_of, tmp_path, monkeypatch):
    _, saved = save
    saved("best.ckpt", 1)
    saved("best.ckpt", 2)
    written = []
    write = checkpoint_files.save
    monkeypatch.setattr(checkpoint_files, "save", lambda checkpoint, path: (written.append(path.name), write(checkpoint, path)))
    saved("last.ckpt", 3)
    assert written == ["best.ckpt", "last.ckpt"]
    assert (step_of("best.ckpt"), step_of("last.ckpt")) == (2, 3)


def test_it_waits_for_seconds_only(save, step_of, monkeypatch):
    plugin, saved = save
    saved("best.ckpt", 1)
    saved("best.ckpt", 2)
    monkeypatch.setattr(plugin, "SECONDS", 0.0)
    saved("best.ckpt", 3)
    plugin.teardown()
    assert step_of("best.ckpt") == 3


def test_weights_that_never_change_are_not_copied(tmp_path):
    plugin = ReplacingCheckpointIO(lambda name: name == "frozen")
    state = {"frozen": torch.zeros(2), "trained": torch.zeros(2)}
    checkpoint = {"state_dict": state, "global_step": 1, "config": {}}
    plugin.save_checkpoint(checkpoint, tmp_path / "best.ckpt")
    plugin.save_checkpoint(checkpoint, tmp_path / "best.ckpt")
    (waiting,) = plugin._waiting.values()
    assert waiting["state_dict"]["frozen"] is state["frozen"]
    assert waiting["state_dict"]["trained"] is not state["trained"]
