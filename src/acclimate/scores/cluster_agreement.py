"""Agreement between predicted classes and clusters of the target's features."""

import warnings

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor

from acclimate.scores.sampled_score import SampledScore
from acclimate.scores.threads import one_thread

# Enough to converge unless there are many features, of which later iterations move only a few.
MAX_ITERATIONS = 100


def cluster_agreement(features: Tensor, logits: Tensor) -> float:
    """Adjusted mutual information between predicted classes and K clusters of the features.

    ClassAMI of Musgrave et al., "Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain
    Adaptation", 2022. k-means starts at the centroids of the classes, weighted by the probabilities, so it is deterministic
    and has a start even for a class that is never the most likely one.

    Args:
        features: Shape (N, D).
        logits: Shape (N, K).

    Returns:
        A number of at most 1: 1 if classes and clusters are the same, about 0 for chance agreement. It is 0 if all
        predictions are the same class, even if the features form a single cluster, because that is no evidence.
    """
    classes = logits.argmax(dim=1).cpu().numpy()
    if len(set(classes.tolist())) < 2:
        return 0.0
    # A softmax over the inputs: the weights of each class sum to one, so they cannot all underflow.
    log_probabilities = torch.log_softmax(logits.double(), dim=1).clamp_min(torch.finfo(torch.float64).min)
    weights = log_probabilities.softmax(dim=0)
    centroids = (weights.T @ features.double())[: len(features)].float().cpu().numpy()
    k_means = KMeans(len(centroids), init=centroids, n_init=1, max_iter=MAX_ITERATIONS, tol=0)
    # With several threads, the order of summation and hence rounding would differ from run to run.
    with warnings.catch_warnings(), one_thread():
        # There may be fewer distinct features than classes.
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = k_means.fit_predict(features.float().cpu().numpy())
    return float(adjusted_mutual_info_score(classes, clusters))


class ClassAMI(SampledScore):
    """`cluster_agreement` of the target inputs, or of a sample if there are more than `max_samples`."""

    name = "class_ami"

    def value(self) -> Tensor:
        target = self.sample("target")
        return torch.tensor(cluster_agreement(target.features, target.logits))
