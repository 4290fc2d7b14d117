"""CORAL: the distance between the second moments of the domains' features."""

from torch import Tensor

from acclimate.losses.precision import in_float32


@in_float32
def correlation_alignment(source: Tensor, target: Tensor) -> Tensor:
    """Squared distance between the covariance matrices of two sets of features, divided by 4 · D².

    The CORAL loss of Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV Workshops
    2016, Eq. 1 to 3. Means have no influence.

    Args:
        source: Features, shape (N, D), N at least 2. Computed in float32 at least.
        target: Features, shape (M, D), M at least 2; M may differ from N.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: If a set has fewer than two rows.

    >>> import torch
    >>> source, target = torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [5.0]])  # variances 2 and 0
    >>> float(correlation_alignment(source, target))
    1.0
    """
    if min(len(source), len(target)) < 2:
        raise ValueError(f"Each domain needs two samples, but they have {len(source)} and {len(target)}.")
    return (_covariance(source) - _covariance(target)).square().sum() / (4.0 * source.shape[1] ** 2)


def _covariance(features: Tensor) -> Tensor:
    """Covariance matrix with the divisor N - 1, shape (D, D)."""
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)
