"""A damaged checkpoint is named by every verb, and the one before it takes its place where there is one."""

import logging
import shutil
import sys

import pytest
from hydra.core.global_hydra import GlobalHydra
from small_runs import SMALL, compose, differences, trained_state

from acclimate import cli
from acclimate.errors import ConfigError
from acclimate.runs import checkpoint_files, checkpoints
from acclimate.training import run
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint

OPTIONS = ("method=source_only", "trainer.max_epochs=3", "callbacks={}")


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    file.write_bytes(contents)


def empty(file):
    file.write_bytes(b"")


def replace(file):
    file.write_bytes(b"PK\3\4 something else")


DAMAGE = [cut, flip, empty, replace]


@pytest.fixture(scope="module")
def finished(archives, tmp_path_factory):
    """A run that has saved a checkpoint after each of its three epochs."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LastCheckpoint, "SECONDS", 0)
        patch.setattr(LastCheckpoint, "PAUSE", 0)
        run.train(compose(folder, *archives, *OPTIONS))
    return folder


@pytest.fixture
def stopped(finished, tmp_path):
    """A copy that was not evaluated."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "metrics.json").unlink()
    return folder


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_continues_from_the_checkpoint_before_to_the_same_bits(archives, finished, stopped, damage, caplog):
    damage(checkpoints.last_checkpoint(stopped))
    with caplog.at_level(logging.WARNING):
        run.train({**compose(stopped, *archives, *OPTIONS), "resume": True})
    assert "Continuing with the previous checkpoint" in caplog.text
    assert differences(trained_state(finished), trained_state(stopped)) == []


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command; return its exit code and what it wrote to stderr."""

    def call(*arguments):
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["acclimate", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    return call


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_verb_names_a_checkpoint_that_nothing_can_take_the_place_of(archives, stopped, damage, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    best, last = checkpoints.best_checkpoint(stopped), checkpoints.last_checkpoint(stopped)
    for file in (best, last):
        damage(file)
        checkpoint_files.previous(file).unlink(missing_ok=True)
    training = [*archives, *SMALL, *OPTIONS]
    for arguments, file in (
        (["evaluate", "run=run"], best),
        (["predict", "run=run", "inputs=images", "out=out.csv"], best),
        (["train", *training, "hydra.run.dir=run", "resume=true"], last),
        (["train", *training, f"init_from={best}", "hydra.run.dir=other"], best),
    ):
        code, message = command(*arguments)
        assert code == 2, message
        assert message.startswith("acclimate: ")
        assert f"checkpoints/{file.name} cannot be read as a checkpoint" in message
        assert "Restore the file from a copy, or train again into another folder: hydra.run.dir=DIR" in message
    assert not (tmp_path / "out.csv").exists()


def test_a_damaged_selected_checkpoint_is_named_before_training_goes_on(archives, stopped, monkeypatch):
    best = checkpoints.best_checkpoint(stopped)
    flip(best)
    checkpoint_files.previous(best).unlink(missing_ok=True)
    monkeypatch.setattr(run, "build", None)
    with pytest.raises(ConfigError, match=r"best\.ckpt cannot be read as a checkpoint"):
        run.train({**compose(stopped, *archives, *OPTIONS), "resume": True})
