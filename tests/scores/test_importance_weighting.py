"""Density ratios that are known, risks by hand, and what weighting is for."""

import numpy as np
import pytest
import torch
from predictions import Domains, make_score, trained_model, value_of
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from acclimate.scores import importance_weighting
from acclimate.scores.importance_weighting import (
    SMALLEST_DEVIATION,
    TOLERANCE,
    deep_embedded_risk,
    density_ratio,
    importance_weighted_risk,
    normalised_weights,
)
from acclimate.training.callbacks.scores import Scores
from acclimate.types import Prediction


def normal(number, middle, *, seed):
    return middle + torch.randn(number, 1, generator=torch.Generator().manual_seed(seed))


def test_ratio_of_two_normal_distributions():
    source, target = normal(3000, 0.0, seed=0), normal(1500, 1.0, seed=1)
    # log of p_target / p_source at x is x - 1/2.
    log_ratio = density_ratio(source, target).log()
    assert float((log_ratio - (source[:, 0] - 0.5)).abs().mean()) < 0.1
    assert float(log_ratio.exp().mean()) == pytest.approx(1, abs=0.1)


def test_ratio_is_one_for_the_same_images_whatever_their_number():
    features = normal(100, 0.0, seed=0)
    torch.testing.assert_close(density_ratio(features, features.repeat(3, 1)), torch.ones(100, dtype=torch.float64), atol=0.3, rtol=0)


def test_ratio_is_bounded_for_domains_that_do_not_overlap():
    weights = density_ratio(normal(50, 0.0, seed=0), normal(50, 1e6, seed=1))
    assert weights.isfinite().all()
    assert (weights < 1).all()


def test_risks_of_three_images():
    errors, weights = torch.tensor([1.0, 0.0, 1.0]).double(), torch.tensor([0.5, 1.0, 3.0]).double()
    assert importance_weighted_risk(errors, weights).item() == pytest.approx(3.5 / 3)
    slope = -np.cov(errors * weights, weights)[0, 1] / np.var(weights.numpy(), ddof=1)
    assert deep_embedded_risk(errors, weights).item() == pytest.approx(3.5 / 3 + slope * (1.5 - 1))


def test_control_variate_makes_the_risk_of_constant_errors_exact():
    weights = torch.tensor([0.2, 0.7, 5.0]).double()
    assert deep_embedded_risk(torch.ones(3).double(), weights).item() == pytest.approx(1)
    assert importance_weighted_risk(torch.ones(3).double(), weights).item() == pytest.approx(5.9 / 3)


def test_normalised_weights_have_mean_one_and_no_giants():
    weights = normalised_weights(torch.tensor([1e-3, 1.0, 1e6]).double())
    assert weights.mean().item() == pytest.approx(1)
    assert ((weights > 0) & (weights < 2)).all()


@pytest.mark.parametrize("name", ["iwv", "dev", "devn"])
def test_errors_where_the_target_is_count_more(name):
    source = normal(400, 0.0, seed=0)
    target = Prediction(normal(400, 1.0, seed=1), torch.zeros(400, 2))
    labels = torch.zeros(400, dtype=torch.int64)
    values = []
    for wrong in (source[:, 0] > 0.7, source[:, 0] < -0.7):
        logits = torch.nn.functional.one_hot(wrong.long(), 2).float()
        values.append(value_of(make_score(name), Domains(Prediction(source, logits), target, labels)))
    near, far = values
    assert near < far


def test_ratio_is_fitted_once_for_the_three_scores_of_a_validation(monkeypatch):
    fits = []
    monkeypatch.setattr(importance_weighting, "density_ratio", lambda *features: fits.append(None) or density_ratio(*features))
    scores = Scores(has_source=True, has_target=True).scores
    for seed in (0, 1):
        fits.clear()
        scores.reset()
        domains = trained_model(seed, num_source=80, num_target=120)
        for rows in (slice(0, 50), slice(50, 120)):
            scores.update("source", Prediction(*(part[rows] for part in domains.source)), domains.labels[rows])
            scores.update("target", Prediction(*(part[rows] for part in domains.target)), None)
        found = scores.compute()
        assert len(fits) == 1
        assert {name: float(found[name]) for name in ("iwv", "dev", "devn")} == {
            name: value_of(make_score(name), domains) for name in ("iwv", "dev", "devn")
        }


def test_ratio_is_fitted_anew_when_more_images_come():
    first, second = (trained_model(seed, num_source=80, num_target=120) for seed in (0, 1))
    source, target = (Prediction(*map(torch.cat, zip(*parts, strict=True))) for parts in zip(first[:2], second[:2], strict=True))
    score = make_score("iwv")
    value_of(score, first)
    expected = value_of(make_score("iwv"), Domains(source, target, torch.cat([first.labels, second.labels])))
    assert value_of(score, second) == expected


@pytest.mark.parametrize(("num_source", "num_target"), [(2, 2), (7, 4), (8, 5), (31, 40)])
def test_density_ratio_is_that_of_two_cross_validated_halves(num_source, num_target):
    generator = torch.Generator().manual_seed(num_source)
    source, target = (torch.randn(number, 3, generator=generator).double() for number in (num_source, num_target))
    features = torch.cat([source, target])
    centred = features - features.mean(dim=0)
    smallest = SMALLEST_DEVIATION * features.square().mean(dim=0).sqrt()
    rows = centred / ((centred.var(dim=0) + smallest.square()).sqrt() * 3**0.5)
    domains = [0] * num_source + [1] * num_target
    classifier = LogisticRegression(max_iter=1000, tol=TOLERANCE)
    log_odds = cross_val_predict(classifier, rows.numpy(), domains, cv=StratifiedKFold(2), method="decision_function")
    expected = torch.from_numpy(log_odds[:num_source]).exp() * num_source / num_target
    torch.testing.assert_close(density_ratio(source, target), expected, rtol=1e-9, atol=1e-12)
