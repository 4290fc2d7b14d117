"""Every run logs every score, each as if it were alone."""

import pytest
import torch
from small_runs import compose, write_archives

from acclimate.config.compose import override
from acclimate.config.groups import group_options
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run
from acclimate.training.callbacks.scores import Scores

# What selects by several scores, by the past of a run, by no score at all, or by labels.
OTHERS = ("auto", "vote", "ensemble_agreement", "last", "oracle")
NAMES = [name for name in group_options("selection") if name not in OTHERS]


@pytest.fixture(scope="module")
def metrics(archives, tmp_path_factory):
    return run.train(compose(tmp_path_factory.mktemp("scores"), *archives, "method=dann", "selection=last", "trainer.max_epochs=2"))


@pytest.mark.parametrize("name", NAMES)
def test_score_is_that_of_the_selection_of_its_name(archives, tmp_path, name):
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", f"selection={name}", "trainer.max_epochs=2"))
    parts.trainer.fit(parts.method, parts.data)
    assert parts.trainer.callback_metrics[f"score/{name}"] == parts.trainer.callback_metrics["selection/value"]


def test_batch_size_of_an_evaluation_moves_no_score(tmp_path):
    options = write_archives(tmp_path, num_source=800, num_target=1500)
    metrics = run.train(compose(tmp_path / "run", *options, "method=dann", "trainer.max_steps=40", "data.eval_batch_size=256"))
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path / "run"))
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    scores = {name: value for name, value in metrics.items() if name.startswith("score/")}
    for batch_size in (1, 17):
        found = evaluation.evaluate(override(checkpoint["config"], [f"data.eval_batch_size={batch_size}"]), checkpoint)
        assert {name: found[name] for name in scores} == pytest.approx(scores, abs=1e-4)


def test_all_scores_are_there_and_no_others(metrics):
    assert {key.removeprefix("score/") for key in metrics if key.startswith("score/")} == {*NAMES}


def test_scores_of_a_run_without_target_look_at_the_source_alone(archives, tmp_path):
    config = compose(tmp_path, *archives, "data.target=null", "method=source_only", "trainer.max_epochs=1")
    assert {key for key in run.train(config) if key.startswith("score/")} == {"score/source_accuracy"}


def test_scores_are_not_given_the_labels_of_the_target(archives, tmp_path, monkeypatch):
    seen = []
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", "selection=oracle", "trainer.max_epochs=1"))
    scores = next(callback for callback in parts.trainer.callbacks if isinstance(callback, Scores))
    monkeypatch.setattr(scores.scores, "update", lambda domain, prediction, labels: seen.append((domain, labels is None)))
    monkeypatch.setattr(scores.scores, "compute", lambda: {"none": torch.tensor(0.0)})
    parts.trainer.fit(parts.method, parts.data)
    assert {*seen} == {("source", False), ("target", True)}
