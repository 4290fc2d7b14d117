"""How much of the features' variance tells classes apart."""

import torch
from torch import Tensor


def h_score(features: Tensor, labels: Tensor) -> Tensor:
    """tr(cov(f)⁻¹ cov(E[f | y])): the variance between classes in units of the whole variance, summed over directions.

    Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019. In the
    orthonormal basis U of the centred features, which has the covariance of one in each direction, it is the sum over
    classes of N_c · |mean of the class in U|².

    Args:
        features: Shape (N, D).
        labels: int64, shape (N,).

    Returns:
        A scalar, float64, in [0, min(D, K - 1)] for K classes; the higher the better. It does not depend on any
        invertible linear map of the features. With D ≥ N - 1 it says nothing: almost all features reach K - 1.

    >>> round(h_score(torch.tensor([[0.0], [2.0], [4.0], [6.0]]), torch.tensor([0, 0, 1, 1])).item(), 4)
    0.8
    """
    centred = features.double() - features.double().mean(dim=0)
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    # In other directions the features vary by rounding alone, mostly that of the float32 in which a model computes.
    basis = left[:, singular > torch.finfo(torch.float32).eps * max(features.shape) * singular.max()]
    classes = [basis[labels == label] for label in set(labels.tolist())]
    return torch.stack([len(rows) * rows.mean(dim=0).square().sum() for rows in classes]).sum()
