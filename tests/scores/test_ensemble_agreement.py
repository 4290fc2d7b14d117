"""The ensemble of models, and that of a run's validations."""

import pytest
import torch
from predictions import rounded, trained_model, value_of
from small_runs import compose

from acclimate.runs import checkpoints
from acclimate.scores.ensemble_agreement import EnsembleAgreement, ensemble_agreement
from acclimate.training import evaluation, run
from acclimate.types import Prediction


def certain(*classes: int) -> torch.Tensor:
    return torch.eye(3)[list(classes)] * 20


def validate(score: EnsembleAgreement, *classes: int, batch_size: int = 10) -> float:
    score.reset()
    for logits in certain(*classes).split(batch_size):
        score.update("source", Prediction(torch.ones(4, 2), certain(0, 0, 0, 0)), torch.zeros(4).long())
        score.update("target", Prediction(logits, logits), None)
    return float(score.compute())


def test_a_confident_model_outweighs_two_that_hesitate():
    confident, hesitating = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.6, 0.4]])
    assert ensemble_agreement(torch.stack([confident, hesitating, hesitating])).tolist() == [1.0, 0.0, 0.0]


def test_order_of_models_and_images_does_not_matter():
    probabilities = torch.rand(4, 30, 5, generator=torch.Generator().manual_seed(0)).softmax(dim=-1)
    expected = ensemble_agreement(probabilities)
    assert torch.equal(ensemble_agreement(probabilities[[2, 0, 3, 1]])[[1, 3, 0, 2]], expected)
    assert torch.equal(ensemble_agreement(probabilities.flip(dims=[1])), expected)


@pytest.mark.parametrize("batch_size", [1, 10])
def test_validations_are_judged_by_all_before(batch_size):
    score = EnsembleAgreement()
    assert validate(score, 0, 1, 2, 0, batch_size=batch_size) == 0.0
    assert validate(score, 0, 1, 2, 0, batch_size=batch_size) == 1.0
    assert validate(score, 0, 1, 1, 1, batch_size=batch_size) == 0.5
    assert validate(score, 0, 1, 1, 1, batch_size=batch_size) == 0.5
    validate(score, 0, 1, 1, 1)
    # By now the ensemble has changed its mind, three to two.
    assert validate(score, 0, 1, 1, 1, batch_size=batch_size) == 1.0


def test_what_is_recalled_judges_like_what_was_never_interrupted():
    uninterrupted, resumed = EnsembleAgreement(), EnsembleAgreement()
    for score in (uninterrupted, resumed):
        validate(score, 0, 1, 2, 0)
    fresh = EnsembleAgreement()
    fresh.recall(resumed.memory())
    assert validate(fresh, 1, 1, 2, 1) == validate(uninterrupted, 1, 1, 2, 1) == 0.5
    assert torch.equal(fresh.total, uninterrupted.total)


def test_predictions_that_are_not_finite_have_no_score_and_do_not_join_the_ensemble():
    score = EnsembleAgreement()
    validate(score, 0, 1, 2, 0)
    score.reset()
    score.update("target", Prediction(torch.ones(4, 2), torch.full((4, 3), torch.nan)), None)
    assert score.compute().isnan()
    assert validate(score, 0, 1, 1, 1) == 0.5


def test_rounding_of_predictions_hardly_moves_it():
    runs = []
    for change in (lambda domains: domains, rounded):
        score = EnsembleAgreement()
        value_of(score, trained_model(0))
        score.reset()
        runs.append(
            value_of(score, change(trained_model(0)._replace(target=Prediction(*(rows.flip(0) for rows in trained_model(0).target)))))
        )
    assert runs[0] == pytest.approx(runs[1], abs=1e-4)
    assert 0 < runs[0] < 1


def test_other_images_start_a_new_ensemble():
    score = EnsembleAgreement()
    validate(score, 0, 1, 2, 0)
    assert validate(score, 1, 2) == 0.0
    assert validate(score, 1, 2) == 1.0


def test_a_single_checkpoint_has_no_ensemble_to_agree_with(archives, tmp_path):
    metrics = run.train(compose(tmp_path, *archives, "method=dann", "selection=ensemble_agreement", "trainer.max_epochs=3"))
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path))
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    found = evaluation.evaluate(checkpoint["config"], checkpoint)
    assert metrics["selection/value"] > 0
    assert "selection/value" not in found
    assert found["target/test_accuracy"] == metrics["target/test_accuracy"]
