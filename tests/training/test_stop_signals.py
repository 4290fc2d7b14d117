"""A signal at any time of a run ends it with an exit code of its own, and the run can be continued."""

import itertools
import json
import multiprocessing
import os
import shlex
import signal

import pytest
import pytorch_lightning as pl
from small_runs import SMALL

from acclimate.data.cache.features import FrozenBackbone
from acclimate.data.images.arrays import Arrays
from acclimate.errors import Interrupted
from acclimate.methods.base import Method
from acclimate.training import assembly, run
from acclimate.training.callbacks.accuracies import Accuracies
from acclimate.training.stop_signals import SIGNALS, StopSignals

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 138}


@pytest.fixture(autouse=True)
def closing_terminal_counts():
    """The tests are also run by `nohup`, which has SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def words(archives):
    return ("method=source_only", *archives, *SMALL, "trainer.max_epochs=1")


def send(number, monkeypatch, place, name):
    """Has a signal arrive once, when a function is called."""
    original = getattr(place, name)

    def call(*arguments, **options):
        monkeypatch.setattr(place, name, original)
        os.kill(os.getpid(), number)
        return original(*arguments, **options)

    monkeypatch.setattr(place, name, call)


PLACES = {
    "while the data is read": (Arrays, "read"),
    "while the parts are built": (assembly, "RunParts"),
    "before the first step": (Method, "on_train_start"),
    "in a step": (Method, "training_step"),
    "in a validation": (Accuracies, "on_validation_epoch_end"),
    "while a checkpoint is written": (pl.Trainer, "save_checkpoint"),
    "after the training": (run, "read_checkpoint"),
    "in the final validation": (pl.Trainer, "validate"),
    "in the final test": (Accuracies, "on_test_epoch_end"),
    "before the results are written": (run, "_refuse_selection"),
    "while the predictions are written": (run, "write_predictions"),
}


CASES = [*zip(PLACES, itertools.cycle(EXIT_CODES)), ("in the final test", signal.SIGTERM)]


@pytest.mark.parametrize(("place", "number"), CASES)
def test_run_that_a_signal_stops_says_so_in_its_exit_code_and_is_continued(acclimate, words, tmp_path, monkeypatch, place, number):
    send(number, monkeypatch, *PLACES[place])
    code, message = acclimate("train", *words, "hydra.run.dir=it is a run")
    assert code == EXIT_CODES[number]
    assert not (tmp_path / "it is a run" / "metrics.json").exists()
    stopped, advice = message.strip().split(" Continue with: ")
    assert stopped.startswith("acclimate: Stopped ")
    assert acclimate(*shlex.split(advice)[1:]) == (0, "")
    assert json.loads((tmp_path / "it is a run" / "metrics.json").read_text())["train/steps"] == 5


def test_signal_does_not_wait_for_the_features_of_a_frozen_backbone(acclimate, words, monkeypatch):
    """They may take long, and before the first step there is nothing to save."""
    send(signal.SIGINT, monkeypatch, FrozenBackbone, "_compute")
    code, message = acclimate("train", *words, "model.freeze=backbone", "data.feature_cache=ram", "hydra.run.dir=run")
    assert (code, message) == (130, "acclimate: Stopped by SIGINT. Continue with: acclimate train resume=run\n")


def test_signal_before_a_run_has_begun_leaves_nothing_to_continue(acclimate, words, monkeypatch):
    send(signal.SIGTERM, monkeypatch, run, "check_config")
    assert acclimate("train", *words, "hydra.run.dir=run") == (143, "acclimate: Stopped by SIGTERM.\n")
    assert acclimate("train", *words, "hydra.run.dir=run") == (0, "")


def test_error_that_a_signal_to_all_processes_causes_is_taken_for_the_signal(acclimate, words, monkeypatch):
    def lose_worker(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")

    monkeypatch.setattr(Method, "training_step", lose_worker)
    code, message = acclimate("train", *words, "hydra.run.dir=run")
    assert (code, message) == (143, "acclimate: Stopped by SIGTERM. Continue with: acclimate train resume=run\n")


def test_stopped_sweep_says_how_to_go_on_with_all_of_it(acclimate, words, tmp_path, monkeypatch):
    send(signal.SIGTERM, monkeypatch, Method, "training_step")
    command = ("train", "-m", *words, "seed=0,1", "hydra.sweep.dir=sweep")
    code, message = acclimate(*command)
    assert code == 143
    assert not list(tmp_path.glob("sweep/*/metrics.json"))
    stopped, advice = message.strip().split(" Continue the sweep with the same command: ")
    assert stopped == "acclimate: Stopped by SIGTERM."
    assert acclimate(*shlex.split(advice)[1:]) == (0, "")
    assert len(list(tmp_path.glob("sweep/*/metrics.json"))) == 2


def test_second_signal_does_not_wait():
    with StopSignals() as signals:
        signals.deferred = True
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        with pytest.raises(Interrupted, match="Stopped by SIGTERM"):
            os.kill(os.getpid(), signal.SIGINT)


def test_run_that_nohup_protects_does_not_end_with_its_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_as_they_were_afterwards():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(Interrupted), StopSignals() as signals:
        signals.install()
        os.kill(os.getpid(), signal.SIGUSR1)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_worker_leaves_it_to_the_run_to_stop():
    with StopSignals() as signals:
        process = multiprocessing.get_context("fork").Process(target=wait_for_signals)
        process.start()
        process.join(10)
    assert process.exitcode == -signal.SIGTERM
    assert signals.received is None


def wait_for_signals():
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        os.kill(os.getpid(), number)
    os._exit(0)


def test_signal_that_another_program_forwards_counts_once():
    with StopSignals() as outer, StopSignals() as signals:
        signals.deferred = True
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == outer.received == signal.SIGTERM
