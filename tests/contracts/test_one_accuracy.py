"""`metrics.json`, `evaluate` and `predict` say the same of a run's selected checkpoint."""

import numpy as np
import pytest
from small_runs import METHODS, SELF_SUPERVISED, compose, write_test_images

from acclimate.inference.prediction import predict
from acclimate.runs.checkpoint_files import best_checkpoint
from acclimate.runs.checkpoints import read_checkpoint
from acclimate.training import evaluation, run

# Those that test, normalise or build a classifier in a way of their own; the others are tested by make test-slow.
OF_THEIR_OWN = ("ada_bn", "co_tuning", "dann", "lora", "mcd", "shot", "stoch_norm", "tent")
WITH_HEAD = [
    pytest.param(method, marks=() if method in OF_THEIR_OWN else pytest.mark.slow) for method in METHODS if method not in SELF_SUPERVISED
]


@pytest.fixture(scope="module")
def test_images(archives, tmp_path_factory):
    """A folder of the target's test images and their labels by name."""
    folder = tmp_path_factory.mktemp("images")
    return folder, write_test_images(archives, folder)


@pytest.mark.parametrize("method", WITH_HEAD)
def test_every_way_to_test_a_run_gives_one_accuracy(archives, tmp_path, test_images, method):
    options = ("trainer.max_epochs=1", "callbacks.ema.decay=0.5", "optimizer.lr=0.01")
    config = compose(tmp_path, *archives, f"method={method}", *options)
    metrics = run.train(config)
    checkpoint = read_checkpoint(best_checkpoint(tmp_path))
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    evaluated = evaluation.evaluate(checkpoint["config"], checkpoint)
    folder, labels = test_images
    predicted = [int(row.label) for row in predict(checkpoint, folder, trust=["small_runs"])]
    assert metrics["target/test_accuracy"] == evaluated["target/test_accuracy"] == pytest.approx(np.mean(predicted == labels))
