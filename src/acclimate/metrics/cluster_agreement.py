"""Whether predicted classes are what the target's features fall into by themselves."""

import math
import warnings

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_mutual_info_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from acclimate.metrics.sampled_score import SampledScore

SEED = 0
# Later ones move few images and would take most of the time where there are many features.
MAX_ITERATIONS = 30


def cluster_agreement(features: Tensor, logits: Tensor) -> float:
    """Adjusted mutual information between predicted classes and K clusters of the features.

    ClassAMI of Musgrave et al., "Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain
    Adaptation", 2022, with one seeded start of k-means++ and at most 30 iterations.

    Args:
        features: Shape (N, D).
        logits: Shape (N, K).

    Returns:
        At most 1, when classes and clusters are the same; about 0 for agreement by chance. 0 when all predictions are one
        class, also where the features are one cluster: that is no evidence of anything. nan if a feature is not finite.
    """
    if not features.isfinite().all():
        return math.nan
    classes = logits.argmax(dim=1).cpu().numpy()
    if len(set(classes.tolist())) < 2:
        return 0.0
    k_means = KMeans(min(logits.shape[1], len(features)), max_iter=MAX_ITERATIONS, random_state=SEED)
    # Several threads add up in any order, and rounding would differ from run to run.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="openmp"):
        # Fewer distinct features than classes.
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = k_means.fit_predict(features.float().cpu().numpy())
    return float(adjusted_mutual_info_score(classes, clusters))


class ClassAMI(SampledScore):
    """`cluster_agreement` of target images, of a sample of them beyond `max_samples`."""

    name = "class_ami"

    def compute(self) -> Tensor:
        target = self.sample("target")
        return torch.tensor(cluster_agreement(target.features, target.logits))
