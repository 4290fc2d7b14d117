"""Errors on source images, weighted by how much an image looks like the target."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor

from acclimate.scores.sampled_score import SampleCount, SampledScore
from acclimate.types import Domain, Prediction

# Where the domains do not overlap at all, odds have no bound.
MAX_ODDS = 1e6
# Of the gradient: scikit-learn's default leaves errors of 0.1 in the log odds, which differ from one checkpoint to the next.
TOLERANCE = 1e-7
# Relative to a feature's root mean square: in half precision, rounding alone makes a constant feature vary as much.
SMALLEST_DEVIATION = 1e-3
# Added to the variance of the weights, which is nothing but rounding where the features are constant.
SMALLEST_VARIANCE = 1e-8


def density_ratio(source: Tensor, target: Tensor) -> Tensor:
    """How much more likely each source image is in the target: estimates of p_target(x) / p_source(x).

    The odds of a logistic regression that tells the domains apart, times N / M (Bickel et al., "Discriminative Learning
    for Differing Training and Test Distributions", ICML 2007). Two halves each get their odds from a classifier of the
    other half, because a classifier is too sure of what it was fitted to. Features are standardised and divided by
    sqrt(D), so that the same penalty is right for all widths. You et al. 2019 train a small network instead.

    Args:
        source: Features, shape (N, D).
        target: Features, shape (M, D).

    Returns:
        Positive weights in float64, shape (N,); all 1 where a domain has fewer than two images. The order of the images matters
        only in so far as it divides each domain in halves, and should be random.
    """
    num_source, num_target = len(source), len(target)
    if min(num_source, num_target) < 2:
        return torch.ones(num_source, dtype=torch.float64)
    features = torch.cat([source, target]).double().cpu()
    smallest = SMALLEST_DEVIATION * features.square().mean(dim=0).sqrt()
    features -= features.mean(dim=0)
    deviations = (features.var(dim=0) + smallest.square()).sqrt()
    features /= deviations.clamp_min(torch.finfo(torch.float32).tiny) * features.shape[1] ** 0.5
    domains = np.repeat([0, 1], [num_source, num_target])
    classifier = LogisticRegression(max_iter=1000, tol=TOLERANCE)
    log_odds = cross_val_predict(classifier, features.numpy(), domains, cv=StratifiedKFold(2), method="decision_function")[:num_source]
    odds = torch.from_numpy(log_odds).double().exp().clamp(1 / MAX_ODDS, MAX_ODDS)
    return odds * num_source / num_target


def importance_weighted_risk(errors: Tensor, weights: Tensor) -> Tensor:
    """The mean of the weighted errors: an unbiased estimate of the target's risk if weights are the true ratios.

    Sugiyama et al., "Covariate Shift Adaptation by Importance Weighted Cross Validation", JMLR 2007.

    Args:
        errors: Of each source image, shape (N,).
        weights: Density ratios, shape (N,).

    >>> importance_weighted_risk(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 1.5])).item()
    0.25
    """
    return (weights * errors).mean()


def deep_embedded_risk(errors: Tensor, weights: Tensor) -> Tensor:
    """The importance-weighted risk, with the weights as a control variate to lower its variance.

    Deep embedded validation of You et al., "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation",
    ICML 2019. The mean of true density ratios is 1, so η · (mean weight - 1) adds nothing in expectation, and
    η = -cov(weighted error, weight) / var(weight) takes away most variance.

    Args:
        errors: Of each source image, shape (N,).
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
    """Weights divided by the largest and shifted so that their mean is 1.

    A few huge weights otherwise decide everything: the normalisation of DEVN in Musgrave et al., "Three New Validators and
    a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation", 2022.

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
    """A negative risk on source images whose weights say how much their features look like the target's.

    The error is 0 or 1, as cross-entropy would also measure how a method scales its logits. Both domains are sampled
    beyond `max_samples`, to bound time and memory.
    """

    needs_source: ClassVar[bool] = True
    domains: ClassVar[tuple[Domain, ...]] = ("source", "target")
    weights: list[Tensor]

    def __init__(self, max_samples: SampleCount = 5000) -> None:
        super().__init__(max_samples)
        # The density ratio, once it is fitted. A state, because a compute group of a `MetricCollection` shares those.
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
        """The estimate of the target's risk."""


class ImportanceWeightedValidation(ImportanceWeightedScore):
    """The negative `importance_weighted_risk` of the source's errors."""

    name = "iwv"
    risk = staticmethod(importance_weighted_risk)


class DeepEmbeddedValidation(ImportanceWeightedScore):
    """The negative `deep_embedded_risk` of the source's errors."""

    name = "dev"
    risk = staticmethod(deep_embedded_risk)


class NormalisedDeepEmbeddedValidation(ImportanceWeightedScore):
    """The negative `deep_embedded_risk` with `normalised_weights`, in [-2, 0]."""

    name = "devn"

    @staticmethod
    def risk(errors: Tensor, weights: Tensor) -> Tensor:
        return deep_embedded_risk(errors, normalised_weights(weights))
