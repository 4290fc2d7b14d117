"""A full disk ends a run with a message, and the run goes on to the same bits once there is space."""

import contextlib
import errno
import logging
import os
import resource
import sys

import pytest
from hydra.core.global_hydra import GlobalHydra
from pytorch_lightning.callbacks import Callback
from small_runs import SMALL, compose, differences, trained_state
from tensorboard.summary.writer.record_writer import RecordWriter

from acclimate import cli
from acclimate.errors import StorageError
from acclimate.runs.checkpoint_files import last_checkpoint
from acclimate.training import run
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint

OPTIONS = ("method=source_only", "trainer.max_epochs=3", "data.source_view=shift")


@pytest.fixture(autouse=True)
def save_after_every_epoch(monkeypatch):
    monkeypatch.setattr(LastCheckpoint, "SECONDS", 0)
    monkeypatch.setattr(LastCheckpoint, "PAUSE", 0)


@pytest.fixture(scope="module")
def whole(archives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run.train(compose(folder, *archives, *OPTIONS))
    return folder


@contextlib.contextmanager
def largest_file(size):
    """Files beyond this size cannot be written, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class FillDisk(Callback):
    """Leaves no space for checkpoints from an epoch on."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, method):
        if trainer.current_epoch == self.epoch:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_run_goes_on_once_there_is_space(archives, whole, tmp_path, epoch):
    config = compose(tmp_path, *archives, *OPTIONS)
    fill = {"_target_": f"{__name__}.FillDisk", "epoch": epoch}
    with pytest.raises(StorageError) as caught, largest_file(10**9):
        run.train({**config, "callbacks": {"fill": fill, **config["callbacks"]}})
    assert f"{tmp_path / 'checkpoints'} is full" in str(caught.value)
    assert "unfinished" not in str(caught.value)
    assert not list(tmp_path.rglob("*.unfinished"))
    if epoch == 0:
        # Nothing was saved, so nothing keeps the run from being started again.
        assert str(caught.value).endswith("Make space there. Then type the same command again")
        assert not last_checkpoint(tmp_path).exists()
    else:
        assert str(caught.value).endswith(f"Then continue with: acclimate train resume={tmp_path}")
        assert trained_state(tmp_path)["epoch"] == epoch - 1
        config["resume"] = True
    run.train(config)
    for name in ("last.ckpt", "best.ckpt"):
        assert differences(trained_state(whole, name), trained_state(tmp_path, name)) == []


def fail(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def acclimate(monkeypatch, capfd, tmp_path):
    """Run the command in an empty folder; return its exit code and what it wrote to stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["acclimate", *arguments])
        try:
            cli.main()
        except SystemExit as stop:
            return stop.code, capfd.readouterr().err
        return 0, capfd.readouterr().err

    return call


@pytest.mark.parametrize(("thing", "method"), [(RecordWriter, "write"), (RecordWriter, "flush"), (logging.StreamHandler, "flush")])
def test_logs_that_cannot_be_written_end_in_a_message(archives, acclimate, monkeypatch, thing, method):
    training = ["train", *archives, *SMALL, *OPTIONS, "logger=tensorboard", "hydra.run.dir=run"]
    with monkeypatch.context() as patch:
        patch.setattr(thing, method, fail)
        code, message = acclimate(*training)
    assert "Traceback" not in message
    # A line of train.log is no reason to stop.
    if thing is RecordWriter:
        assert code == 2
        assert "acclimate: run is full (No space left on device). Make space there. Then" in message
        arguments = ["train", "resume=run"] if "resume=run" in message else training
        code, message = acclimate(*arguments)
    assert code == 0, message


def test_a_chain_goes_on_once_there_is_space(archives, acclimate, monkeypatch):
    stages = ("first.method=simclr", "second.method=source_only", "second.logger=tensorboard", "second.trainer.max_epochs=1")
    chain = ["chain", *archives, *SMALL, "trainer.max_epochs=1", *stages, "hydra.run.dir=chain"]
    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "write", fail)
        code, message = acclimate(*chain)
    assert code == 2
    assert message.endswith("Make space there. Then continue with: acclimate chain resume=chain\n"), message
    assert acclimate("chain", "resume=chain")[0] == 0
