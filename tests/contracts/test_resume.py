"""A run that is stopped and continued is the run that was never stopped, bit for bit."""

import pytest
from small_runs import compose, differences, train_and_stop, trained_state

from acclimate import run
from acclimate.errors import Interrupted

# Random views and dropout, so that a random number drawn anew would be noticed; the domains have unequal sizes.
RANDOM = ("data.source_view=shift", "data.target_views=[shift]", "model.dropout=0.3")
THREE_EPOCHS = ("trainer.max_epochs=3",)
TIMES = ("train/seconds", "train/samples_per_second")


def assert_stop_changes_nothing(tmp_path, overrides, *stops):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    expected = run.train(compose(whole, *overrides))
    config = compose(stopped, *overrides)
    for hook, batches in stops:
        with pytest.raises(Interrupted):
            train_and_stop(config, hook=hook, batches=batches)
        assert not (stopped / "metrics.json").exists()
        config["resume"] = True
    metrics = run.train(config)
    assert differences(trained_state(whole), trained_state(stopped)) == []
    assert differences(trained_state(whole, "best.ckpt"), trained_state(stopped, "best.ckpt")) == []
    assert differences(without_times(expected), without_times(metrics)) == []


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
def test_stopped_run_continues_as_if_never_stopped(archives, tmp_path, hook, batches):
    assert_stop_changes_nothing(tmp_path, (*archives, "method=dann", *RANDOM, *THREE_EPOCHS), (hook, batches))
