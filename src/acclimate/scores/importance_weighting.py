"""Importance-weighted errors on the source as estimates of the target's risk."""

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from acclimate.scores.sampled_score import SampleCount, SampledScore
from acclimate.scores.threads import one_thread
from acclimate.types import Domain, Prediction

Rows = NDArray[np.float64]

# Upper bound of the odds, which grow without bound if the domains do not overlap.
MAX_ODDS = 1e6
# Tolerance of the gradient: scikit-learn's default leaves errors of 0.1 in the log odds, which differ between checkpoints.
TOLERANCE = 1e-7
# Smallest standard deviation relative to a feature's root mean square: half precision makes a constant feature vary as much.
SMALLEST_DEVIATION = 1e-3
# Added to the variance of the weights, which is nothing but rounding if the features are constant.
SMALLEST_VARIANCE = 1e-8


def density_ratio(source: Tensor, target: Tensor) -> Tensor:
    """Estimate the density ratio p_target(x) / p_source(x) of each source input.

    The odds of a logistic regression that tells the domains apart, times N / M (Bickel et al., "Discriminative Learning
    for Differing Training and Test Distributions", ICML 2007). Each half of the inputs gets its odds from a classifier
    fitted to the other half, because a classifier is overconfident on its training data. Features are standardised and
    divided by sqrt(D), so that the same penalty suits all widths. You et al. 2019 train a small network instead.

    Args:
        source: Features, shape (N, D).
        target: Features, shape (M, D).

    Returns:
        Positive weights in float64, shape (N,); all 1 if a domain has fewer than two inputs. The order of the inputs should
        be random, because it determines the halves of each domain.
    """
    num_source, num_target = len(source), len(target)
    if min(num_source, num_target) < 2:
        return torch.ones(num_source, dtype=torch.float64)
    features = torch.cat([source, target]).double().cpu()
    smallest = SMALLEST_DEVIATION * features.square().mean(dim=0).sqrt()
    features -= features.mean(dim=0)
    # Ten times faster than torch.var.
    variances = features.square().sum(dim=0) / (len(features) - 1)
    deviations = (variances + smallest.square()).sqrt()
    features /= deviations.clamp_min(torch.finfo(torch.float32).tiny) * features.shape[1] ** 0.5
    rows, signs = features.numpy(), np.repeat([-1.0, 1.0], [num_source, num_target])
    place_in_domain = np.concatenate([np.arange(num_source), np.arange(num_target)])
    # The halves of scikit-learn's StratifiedKFold.
    first = place_in_domain < np.repeat([(num_source + 1) // 2, (num_target + (num_source + 1) % 2) // 2], [num_source, num_target])
    log_odds = np.empty(len(rows))
    with one_thread():
        for judged in (first, ~first):
            log_odds[judged] = _log_odds(rows[~judged], signs[~judged], rows[judged])
    odds = torch.from_numpy(log_odds[:num_source]).exp().clamp(1 / MAX_ODDS, MAX_ODDS)
    return odds * num_source / num_target


def _log_odds(fitted: Rows, signs: Rows, judged: Rows) -> Rows:
    """Log odds of the positive sign by a logistic regression with scikit-learn's default penalty.

    It is that of scikit-learn, whose checks and conversions take longer than the fit of a few hundred inputs.

    Args:
        fitted: Shape (N, D).
        signs: -1 or 1 for each row, shape (N,).
        judged: Shape (M, D).

    Returns:
        Shape (M,).
    """
    num, width = fitted.shape

    def loss(parameters: Rows) -> tuple[float, Rows]:
        weights, intercept = parameters[:width], parameters[width]
        margins = signs * (fitted @ weights + intercept)
        slopes = -signs * expit(-margins) / num
        value = np.logaddexp(0.0, -margins).mean() + weights @ weights / (2 * num)
        return value, np.append(slopes @ fitted + weights / num, slopes.sum())

    options = {"maxiter": 1000, "maxls": 50, "maxcor": 20, "gtol": TOLERANCE, "ftol": 64 * np.finfo(np.float64).eps}
    found: Rows = minimize(loss, np.zeros(width + 1), jac=True, method="L-BFGS-B", options=options).x
    log_odds: Rows = judged @ found[:width] + found[width]
    return log_odds


def importance_weighted_risk(errors: Tensor, weights: Tensor) -> Tensor:
    """Mean weighted error: an unbiased estimate of the target's risk if the weights are the true density ratios.

    Sugiyama et al., "Covariate Shift Adaptation by Importance Weighted Cross Validation", JMLR 2007.

    Args:
        errors: Error of each source input, shape (N,).
        weights: Density ratios, shape (N,).

    >>> importance_weighted_risk(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 1.5])).item()
    0.25
    """
    return (weights * errors).mean()


def deep_embedded_risk(errors: Tensor, weights: Tensor) -> Tensor:
    """Importance-weighted risk with the weights as a control variate, which reduces its variance.

    Deep embedded validation of You et al., "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation",
    ICML 2019. The mean of the true density ratios is 1, so η · (mean weight - 1) adds nothing in expectation, and
    η = -cov(weighted error, weight) / var(weight) minimises the variance.

    Args:
        errors: Error of each source input, shape (N,).
        weights: Density ratios, shape (N,).

    Returns:
        A scalar, which may be negative.

    >>> deep_embedded_risk(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 3.0])).item()
    0.0
    """
    weighted = weights * errors
    centred = weights - weights.mean()
    variance = (centred**2).mean() + SMALLEST_VARIANCE
    slope = -((weighted - weighted.mean()) * centred).mean() / variance
    return weighted.mean() + slope * (weights.mean() - 1)


def normalised_weights(weights: Tensor) -> Tensor:
    """Divide weights by the largest one and shift them to a mean of 1.

    The normalisation of DEVN in Musgrave et al., "Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised
    Domain Adaptation", 2022. Without it, a few huge weights dominate the score.

    Args:
        weights: Positive, shape (N,).

    Returns:
        Values in (0, 2), shape (N,).

    >>> normalised_weights(torch.tensor([1.0, 4.0, 1.0])).tolist()
    [0.75, 1.5, 0.75]
    """
    relative = weights / weights.max()
    return relative - relative.mean() + 1


class ImportanceWeightedScore(SampledScore):
    """Base class of negative risks on the source, weighted by the similarity of each input's features to the target's.

    The error is 0 or 1, because cross-entropy would also measure the scale of a method's logits. Each domain is sampled if
    it has more than `max_samples` inputs, to bound time and memory.
    """

    needs_source = True
    domains = ("source", "target")
    weights: list[Tensor]

    def __init__(self, max_samples: SampleCount = 5000) -> None:
        super().__init__(max_samples)
        # The fitted density ratio. It is a state so that a compute group of a `MetricCollection` shares it.
        self.add_state("weights", [], dist_reduce_fx=None)

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        super().add_batch(domain, prediction, labels)
        self.weights.clear()

    def value(self) -> Tensor:
        source = self.sample("source")
        if not self.weights:
            self.weights.append(density_ratio(source.features, self.sample("target").features))
        errors = (source.logits.argmax(dim=1) != source.labels).double().cpu()
        return -self.risk(errors, self.weights[0].cpu()).float()

    @staticmethod
    @abstractmethod
    def risk(errors: Tensor, weights: Tensor) -> Tensor:
        """Return the estimate of the target's risk."""


class ImportanceWeightedValidation(ImportanceWeightedScore):
    """Negative `importance_weighted_risk` of the source's errors."""

    name = "iwv"
    risk = staticmethod(importance_weighted_risk)


class DeepEmbeddedValidation(ImportanceWeightedScore):
    """Negative `deep_embedded_risk` of the source's errors."""

    name = "dev"
    risk = staticmethod(deep_embedded_risk)


class NormalisedDeepEmbeddedValidation(ImportanceWeightedScore):
    """Negative `deep_embedded_risk` with `normalised_weights`, in [-2, 0]."""

    name = "devn"

    @staticmethod
    def risk(errors: Tensor, weights: Tensor) -> Tensor:
        return deep_embedded_risk(errors, normalised_weights(weights))
