"""Trials of a search whose scores are low are ended early, and a search that is stopped goes on as if it had not been."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import torch
from optuna.trial import TrialState
from pytorch_lightning.trainer.states import TrainerFn
from small_runs import SMALL_VECTORS

from acclimate.cli.hydra_jobs import run_with_hydra
from acclimate.cli.jobs import train_job
from acclimate.errors import Interrupted, Pruned
from acclimate.methods.base import Method
from acclimate.runs.unfinished import unfinished_runs
from acclimate.training.callbacks.pruning import Pruning

# A high learning rate learns the tables, and a low one predicts a single class.
HIGH, LOW = 0.07, 1e-6
LOW_SCORES = "hydra.sweeper.pruner={_target_: optuna.pruners.ThresholdPruner, lower: 0.5}"


@pytest.fixture
def words(tables):
    return (
        "train",
        "-m",
        *tables,
        *SMALL_VECTORS,
        "selection=source_accuracy",
        "trainer.max_epochs=3",
        "hydra/sweeper=optuna",
        "hydra.sweep.dir=sweep",
    )


def trials():
    return optuna.load_study(study_name="sweep", storage="sqlite:///sweep/study.db").trials


def test_trial_with_low_scores_is_pruned_and_not_repeated(acclimate, words):
    search = (*words, "hydra/sweeper/sampler=grid", f"optimizer.lr={LOW},{HIGH}", LOW_SCORES)
    assert acclimate(*search) == (0, "")
    states = {trial.params["optimizer.lr"]: trial for trial in trials()}
    pruned, complete = states[str(LOW)], states[str(HIGH)]
    assert (pruned.state, complete.state) == (TrialState.PRUNED, TrialState.COMPLETE)
    assert list(pruned.intermediate_values) == [0]
    assert list(complete.intermediate_values) == [0, 1, 2]
    assert [path.parent.name for path in Path("sweep").rglob("metrics.json")] == [f"lr={HIGH}"]
    log = Path("sweep/lr=1e-06/train.log")
    assert "Pruned after 6 steps, with a score of 0.3333." in log.read_text()
    before = log.stat().st_mtime
    assert unfinished_runs([Path("sweep")]) == [(log.parent, "pruned: after 6 steps, with a score of 0.3333")]
    assert acclimate(*search) == (0, "")
    assert log.stat().st_mtime == before
    assert {trial.number: trial.state for trial in trials()} == {trial.number: trial.state for trial in states.values()}


def kill():
    raise SystemExit


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_search_that_is_killed_has_the_trials_of_one_that_is_not(words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    search = (*words, "optimizer.lr=tag(log,interval(1e-6,1e-1))", "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler.seed=4")
    search = (*search, "hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=0")
    run_with_hydra(search[1:], train_job)
    undisturbed = trials()
    assert [trial.state for trial in undisturbed] == [TrialState.COMPLETE, TrialState.PRUNED]
    Path("sweep").rename("undisturbed")

    steps, step = 0, Method.training_step

    def training_step(*arguments):
        nonlocal steps
        steps += 1
        if end := {14: kill, 28: stop}.get(steps):
            end()
        return step(*arguments)

    monkeypatch.setattr(Method, "training_step", training_step)
    for end in (SystemExit, Interrupted):
        with pytest.raises(end):
            run_with_hydra(search[1:], train_job)
    run_with_hydra(search[1:], train_job)
    for one, other in zip(trials(), undisturbed, strict=True):
        assert (one.number, one.params, one.state, one.values) == (other.number, other.params, other.state, other.values)
        assert one.intermediate_values == other.intermediate_values


class Trial:
    """A trial that is pruned when it has reported three values."""

    def __init__(self):
        self.reported = {}

    def report(self, value, step):
        assert step not in self.reported
        self.reported[step] = value

    def should_prune(self):
        return len(self.reported) == 3


def validate(pruning, value):
    trainer = SimpleNamespace(
        state=SimpleNamespace(fn=TrainerFn.FITTING),
        sanity_checking=False,
        global_step=10,
        callback_metrics={"selection/value": torch.tensor(value)},
    )
    pruning.on_validation_end(trainer, None)
    pruning.on_train_batch_start(trainer, None, None, 0)


def test_validations_that_are_repeated_are_neither_reported_nor_judged_again():
    trial = Trial()
    first = Pruning(trial, num_reported=0)
    validate(first, 0.25)
    checkpoint = {}
    first.on_save_checkpoint(None, None, checkpoint)
    validate(first, 0.5)
    again = Pruning(trial, num_reported=2)
    again.on_load_checkpoint(None, None, checkpoint)
    validate(again, 0.5)
    with pytest.raises(Pruned, match=r"with a score of 0\.7500"):
        validate(again, 0.75)
    assert trial.reported == {0: 0.25, 1: 0.5, 2: 0.75}


def test_run_that_is_stopped_before_the_pruner_has_judged_is_judged_when_it_continues():
    trial = Trial()
    trial.reported = {0: 0.25, 1: 0.5, 2: 0.75}
    pruning = Pruning(trial, num_reported=3)
    pruning.on_load_checkpoint(None, None, {"validations": (3, 0.75)})
    with pytest.raises(Pruned, match=r"with a score of 0\.7500"):
        pruning.on_train_batch_start(SimpleNamespace(global_step=10), None, None, 0)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("selection=last", "selection=last has no score"),
        ("selection=auto,information", "values of one score"),
        ("hydra.sweeper.direction=[maximize,minimize]", "a search has one objective"),
        ("hydra.sweeper.direction=max", "its direction is maximize or minimize"),
        ("hydra.sweeper.storage=null", "Leave the key out"),
        ("hydra.sweeper.pruner.lowest=1", "lowest"),
        ("hydra.sweeper.n_trial=2", "hydra.sweeper.n_trial: there is no such key. Did you mean n_trials?"),
        ("+hydra.sweeper.n_trial=2", "hydra.sweeper.n_trial: there is no such key. Did you mean n_trials?"),
        ("optimizer.lr=1", "A search needs a key with several values"),
        ("hydra.sweeper.n_trials=0", "must be a whole number of at least 1"),
    ],
)
def test_search_that_cannot_work_is_refused(acclimate, words, mistake, message):
    code, error = acclimate(*words, f"optimizer.lr={LOW},{HIGH}", LOW_SCORES, mistake)
    assert code == 2
    assert message in error
    assert not Path("sweep").exists()
