"""H-score: the share of the features' variance between classes."""

import torch
from torch import Tensor


def h_score(features: Tensor, labels: Tensor) -> Tensor:
    """H-score: tr(cov(f)⁻¹ cov(E[f | y])), the variance between classes relative to the total variance, over all directions.

    Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019. In an
    orthonormal basis U of the centred features, in which all directions have the same variance, it is the sum over classes
    of N_c · |mean of the class in U|².

    Args:
        features: Shape (N, D).
        labels: int64, shape (N,).

    Returns:
        A scalar, float64, in [0, min(D, K - 1)] for K classes; higher is better. It is invariant to invertible linear maps
        of the features. With D ≥ N - 1 it is uninformative: almost all features reach K - 1.

    >>> round(h_score(torch.tensor([[0.0], [2.0], [4.0], [6.0]]), torch.tensor([0, 0, 1, 1])).item(), 4)
    0.8
    """
    centred = features.double() - features.double().mean(dim=0)
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    # Other directions vary only by rounding, mostly that of the model's float32.
    basis = left[:, singular > torch.finfo(torch.float32).eps * max(features.shape) * singular.max()]
    classes = [basis[labels == label] for label in set(labels.tolist())]
    return torch.stack([len(rows) * rows.mean(dim=0).square().sum() for rows in classes]).sum()
