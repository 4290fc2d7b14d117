"""LogME by hand, against the likelihood itself, and what must not change it."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from acclimate.scores.logme import log_maximum_evidence


def separable(num=40, width=6, *, noise=1.0):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num) % 3
    centres = 2 * torch.eye(3, width, dtype=torch.float64)
    return centres[labels] + noise * torch.randn(num, width, generator=generator, dtype=torch.float64), labels


def test_constant_feature_by_hand():
    # For either class the ratio t = α / β solves t = (4 + t)² · ((t / (4 + t))² + 1) / (12 + 4 t), so t = 2, α = 6, β = 3.
    evidence = 1.5 * math.log(3) - 2 * math.log(2 * math.pi) - 2
    found = log_maximum_evidence(torch.ones(4, 1), torch.tensor([0, 0, 1, 1]))
    assert found.item() == pytest.approx(evidence / 4, rel=1e-6)


@pytest.mark.parametrize("shape", [(30, 4), (30, 40)], ids=["more images", "more features"])
def test_it_is_the_largest_marginal_likelihood(shape):
    features, labels = separable(*shape)
    likelihoods = []
    for label in range(3):
        targets = (labels == label).double().numpy()

        def negative(logs, targets=targets):
            covariance = np.exp(-logs[1]) * np.eye(len(targets)) + np.exp(-logs[0]) * (features @ features.T).numpy()
            return -multivariate_normal(np.zeros(len(targets)), covariance).logpdf(targets)

        likelihoods.append(-min(minimize(negative, start, method="Nelder-Mead").fun for start in ([0, 0], [2, 2], [4, 1])))
    found = log_maximum_evidence(features, labels).item()
    assert found == pytest.approx(np.mean(likelihoods) / len(labels), abs=1e-4)


def test_order_scale_rotation_and_names_of_classes_do_not_matter():
    features, labels = separable()
    expected = log_maximum_evidence(features, labels)
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(len(labels), generator=generator)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    for changed in ((features[order], labels[order]), (10 * features @ rotation, labels), (features, (labels + 1) % 3)):
        torch.testing.assert_close(log_maximum_evidence(*changed), expected, rtol=1e-5, atol=1e-5)


def test_it_falls_with_noise_and_is_least_for_labels_by_chance():
    features, labels = separable(noise=0.1)
    noisy, _ = separable(noise=1.0)
    chance = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(2))]
    found = [log_maximum_evidence(*case).item() for case in ((features, labels), (noisy, labels), (features, chance))]
    assert found == sorted(found, reverse=True)


def test_features_of_noise_gain_nothing_where_a_fit_would_be_perfect():
    """More features than images, so that some linear model makes no error at all."""
    noise = torch.randn(20, 100, generator=torch.Generator().manual_seed(3))
    few, labels = separable(20, 3, noise=0.3)
    assert log_maximum_evidence(few, labels) > log_maximum_evidence(noise, labels)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_extreme_features_have_a_finite_score(scale):
    features, labels = separable()
    assert log_maximum_evidence((scale * features).bfloat16(), labels).isfinite()
    perfect = scale * torch.eye(3)[labels]
    assert log_maximum_evidence(perfect, labels).isfinite()


def test_classes_without_an_image_do_not_count():
    features, labels = separable()
    torch.testing.assert_close(log_maximum_evidence(features, 2 * labels + 1), log_maximum_evidence(features, labels))


@pytest.mark.parametrize("features", [torch.zeros(4, 2), torch.zeros(0, 2)])
def test_features_that_say_nothing_are_refused(features):
    with pytest.raises(ValueError, match="not all zero"):
        log_maximum_evidence(features, torch.zeros(len(features), dtype=torch.int64))
