"""A run that is stopped and continued is the run that was never stopped, bit for bit."""

import pytest
from small_runs import METHODS, compose, differences, train_and_stop, trained_state

from acclimate.errors import Interrupted
from acclimate.methods.dann import Dann
from acclimate.runs.checkpoint_files import last_checkpoint
from acclimate.runs.checkpoints import read_checkpoint
from acclimate.training import run
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint

# Random views and dropout, so that a random number drawn anew would be noticed; the domains have unequal sizes.
RANDOM = ("data.source_view=shift", "data.target_views=[shift]", "model.dropout=0.3")
THREE_EPOCHS = ("trainer.max_epochs=3",)
TIMES = ("train/seconds", "train/samples_per_second")


@pytest.fixture(scope="module")
def whole_run(archives, tmp_path_factory):
    """Folder and metrics of the run that is not stopped, trained once for the same options."""
    finished = {}

    def train(*overrides):
        if overrides not in finished:
            folder = tmp_path_factory.mktemp("whole")
            finished[overrides] = folder, run.train(with_history(compose(folder, *archives, *overrides)))
        return finished[overrides]

    return train


@pytest.fixture
def assert_stop_changes_nothing(whole_run, archives, tmp_path):
    def train_and_compare(overrides, *stops):
        whole, expected = whole_run(*overrides)
        config = with_history(compose(tmp_path, *archives, *overrides))
        for hook, batches in stops:
            with pytest.raises(Interrupted):
                train_and_stop(config, hook=hook, batches=batches)
            assert not (tmp_path / "metrics.json").exists()
            config["resume"] = True
        metrics = run.train(config)
        assert differences(trained_state(whole), trained_state(tmp_path)) == []
        assert differences(trained_state(whole, "best.ckpt"), trained_state(tmp_path, "best.ckpt")) == []
        assert differences(without_times(expected), without_times(metrics)) == []
        assert (whole / "history").read_text() == (tmp_path / "history").read_text()

    return train_and_compare


def with_history(config):
    history = {"_target_": "small_runs.ValidationHistory", "file": f"{config['folder']}/history"}
    return {**config, "callbacks": {**config["callbacks"], "history": history}}


def without_times(metrics):
    return {name: value for name, value in metrics.items() if name not in TIMES}


# 20 source images train, in batches of 4: an epoch has 5 batches.
STOPS = [
    pytest.param("on_train_batch_start", 0, id="in the first step"),
    pytest.param("on_train_batch_end", 7, id="in the middle of an epoch"),
    pytest.param("on_train_batch_start", 4, id="in the last step of an epoch"),
    pytest.param("on_train_batch_end", 5, id="after the last step of an epoch"),
    pytest.param("on_validation_start", 5, id="during the validation after an epoch"),
    pytest.param("on_validation_end", 10, id="after the validation after an epoch"),
    pytest.param("on_train_batch_end", 15, id="after the last step of all"),
]


@pytest.mark.parametrize(("hook", "batches"), STOPS)
def test_stopped_run_continues_as_if_never_stopped(assert_stop_changes_nothing, hook, batches):
    assert_stop_changes_nothing(("method=dann", *RANDOM, *THREE_EPOCHS), (hook, batches))


def test_two_stops_change_nothing_with_two_workers(assert_stop_changes_nothing):
    stops = [("on_train_batch_end", 3), ("on_train_batch_end", 10)]
    assert_stop_changes_nothing(("method=dann", *RANDOM, *THREE_EPOCHS, "data.num_workers=2"), *stops)


# Validations after 4, 8 and 12 batches, epochs of 5, and an end in the middle of one.
BY_STEPS = ("trainer.max_steps=13", "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=4")


@pytest.mark.parametrize(
    ("hook", "batches"),
    [
        pytest.param("on_train_batch_end", 6, id="between two validations"),
        pytest.param("on_train_batch_end", 8, id="before a validation"),
        pytest.param("on_validation_start", 8, id="during a validation"),
        pytest.param("on_validation_end", 8, id="after a validation"),
        pytest.param("on_train_batch_end", 10, id="at the end of an epoch without a validation"),
        pytest.param("on_train_batch_end", 13, id="at the last step"),
    ],
)
def test_stop_of_a_run_that_counts_steps_changes_nothing(assert_stop_changes_nothing, hook, batches):
    assert_stop_changes_nothing(("method=dann", *RANDOM, *BY_STEPS), (hook, batches))


@pytest.mark.parametrize("batches", [2, 4, 5])
def test_stop_amid_accumulated_gradients_changes_nothing(assert_stop_changes_nothing, batches):
    overrides = ("method=dann", *THREE_EPOCHS, "trainer.accumulate_grad_batches=3")
    assert_stop_changes_nothing(overrides, ("on_train_batch_end", batches))


def test_stop_of_shortened_epochs_changes_nothing(assert_stop_changes_nothing):
    overrides = ("method=dann", "trainer.max_epochs=4", "trainer.limit_train_batches=3", *RANDOM)
    assert_stop_changes_nothing(overrides, ("on_train_batch_end", 3), ("on_train_batch_end", 8))


def test_stop_of_a_run_with_balanced_classes_changes_nothing(assert_stop_changes_nothing):
    overrides = ("method=dann", *RANDOM, *THREE_EPOCHS, "data.source_sampling=balanced")
    assert_stop_changes_nothing(overrides, ("on_train_batch_end", 7))


@pytest.mark.parametrize("method", ["dann", "mcc"])
def test_stop_of_a_run_that_estimates_the_target_s_classes_changes_nothing(assert_stop_changes_nothing, method):
    overrides = (f"method={method}", *RANDOM, *THREE_EPOCHS, "method.target_class_weights=estimated", "data.num_workers=2")
    assert_stop_changes_nothing(overrides, ("on_train_batch_end", 1), ("on_train_batch_end", 7))


@pytest.mark.parametrize("method", ["dann", "source_only", "shot"])
def test_stop_of_a_run_with_all_options_of_labelled_data_changes_nothing(assert_stop_changes_nothing, method):
    options = ("data.target_labels_per_class=1", "callbacks.ema.decay=0.8")
    if method != "shot":
        options += ("method.mixup=0.4", "method.cutmix=1", "method.label_smoothing=0.1", "method.class_weights=balanced")
    assert_stop_changes_nothing(
        (f"method={method}", *RANDOM, *THREE_EPOCHS, *options), ("on_train_batch_end", 3), ("on_train_batch_end", 8)
    )


# Of weights that are labelled by the classifier, take several steps for a batch or are accumulated.
AVERAGED = [("method=dann",), ("method=mcd",), ("method=shot",), ("method=dann", "trainer.accumulate_grad_batches=2")]


@pytest.mark.parametrize("method", AVERAGED, ids=" ".join)
def test_stop_of_a_run_that_averages_its_weights_changes_nothing(assert_stop_changes_nothing, method):
    overrides = (*method, *RANDOM, *THREE_EPOCHS, "callbacks.ema.decay=0.8", "optimizer.lr=0.01")
    assert_stop_changes_nothing(overrides, ("on_train_batch_end", 2), ("on_validation_start", 10))


def test_early_stopping_counts_on_after_a_stop(assert_stop_changes_nothing):
    patient = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=100")
    overrides = ("method=dann", *patient, "trainer.max_epochs=5")
    assert_stop_changes_nothing(overrides, ("on_train_batch_end", 5), ("on_train_batch_end", 10))


# Epochs of 5 batches, of which the power goes out in the second; validations after 4 and 8 batches in the other one.
@pytest.mark.parametrize(
    ("seconds", "schedule", "saved_at"),
    [
        pytest.param(0, THREE_EPOCHS, 5, id="after an epoch"),
        pytest.param(0, BY_STEPS, 8, id="within an epoch"),
        pytest.param(3600, THREE_EPOCHS, None, id="before a checkpoint was due"),
    ],
)
def test_run_that_was_killed_continues_from_its_last_checkpoint(whole_run, archives, tmp_path, monkeypatch, seconds, schedule, saved_at):
    overrides = ("method=dann", *RANDOM, *schedule)
    whole, _ = whole_run(*overrides)
    monkeypatch.setattr(LastCheckpoint, "SECONDS", seconds)
    monkeypatch.setattr(LastCheckpoint, "PAUSE", 0)
    config = compose(tmp_path, *archives, *overrides)
    failure = {"_target_": "small_runs.PowerFailure", "batches": 9}
    with pytest.raises(RuntimeError, match="power"):
        run.train({**config, "callbacks": {**config["callbacks"], "failure": failure}})
    last = last_checkpoint(tmp_path)
    assert (read_checkpoint(last)["global_step"] if last.exists() else None) == saved_at
    run.train({**config, "resume": True})
    assert differences(trained_state(whole), trained_state(tmp_path)) == []
    assert differences(trained_state(whole, "best.ckpt"), trained_state(tmp_path, "best.ckpt")) == []


@pytest.mark.parametrize("schedule", [THREE_EPOCHS, BY_STEPS], ids=" ".join)
def test_run_that_was_killed_after_its_training_only_tests(whole_run, archives, tmp_path, monkeypatch, schedule):
    overrides = ("method=dann", *RANDOM, *schedule)
    _, expected = whole_run(*overrides)
    config = compose(tmp_path, *archives, *overrides)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power"):
        patch.setattr(run, "evaluate_parts", power_failure)
        run.train(config)
    monkeypatch.setattr(Dann, "training_step", power_failure)
    metrics = run.train({**config, "resume": True})
    assert differences(without_times(expected), without_times(metrics)) == []


def power_failure(*_):
    raise RuntimeError("The power went out.")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_continues_as_if_never_stopped(assert_stop_changes_nothing, method):
    assert_stop_changes_nothing((f"method={method}", *RANDOM, "trainer.max_epochs=2"), ("on_train_batch_end", 4))


@pytest.mark.parametrize("selection", ["vote", "ensemble_agreement"])
@pytest.mark.parametrize(("hook", "batches"), [("on_train_batch_end", 7), ("on_validation_start", 10), ("on_validation_end", 10)])
def test_selection_that_looks_back_remembers_what_was_before_the_stop(assert_stop_changes_nothing, selection, hook, batches):
    assert_stop_changes_nothing(("method=dann", f"selection={selection}", "optimizer.lr=0.01", *THREE_EPOCHS), (hook, batches))
