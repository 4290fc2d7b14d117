"""Optimal transport plans between two batches, computed with POT."""

import ot
import torch
from torch import Tensor

from acclimate.errors import NotFiniteError

# Exact plans above this size take seconds, for example those between 2048 and 2048 samples.
MAX_EXACT = 1024 * 1024
# Weight of the entropy in larger plans, as a share of the range of the costs.
ENTROPY_WEIGHT = 0.01


@torch.no_grad()
def transport_plan(costs: Tensor) -> Tensor:
    """Compute the mass that each source sample sends to each target sample at minimal total cost.

    Every sample of a batch has the same mass. Plans of up to `MAX_EXACT` entries are exact (network simplex, on the CPU).
    Larger ones are regularised by their entropy, with a weight of 1% of the range of the costs (Cuturi, "Sinkhorn Distances:
    Lightspeed Computation of Optimal Transport", NeurIPS 2013), and computed on the device of the costs.

    Args:
        costs: Finite costs, shape (N, M).

    Returns:
        A plan of shape (N, M), at least 0, without a gradient; rows sum to 1 / N and columns to 1 / M, the latter within
        about 0.1% in regularised plans.

    Raises:
        NotFiniteError: If a cost is not finite.

    >>> transport_plan(torch.tensor([[0.0, 1.0], [1.0, 5.0]]))
    tensor([[0.0000, 0.5000],
            [0.5000, 0.0000]])
    """
    if not costs.isfinite().all():
        raise NotFiniteError("Transport costs must be finite, but some are not: the training has diverged.")
    # The plan is invariant to the scale and the offset of the costs, but the solvers' tolerances are absolute.
    scaled = costs.double() - costs.min()
    scaled /= scaled.max().clamp(min=torch.finfo(scaled.dtype).tiny)
    return (_exact(scaled) if costs.numel() <= MAX_EXACT else _regularised(scaled)).to(costs)


def _exact(costs: Tensor) -> Tensor:
    # Empty masses mean equal masses in POT. The limit is far above the iterations that a plan of MAX_EXACT entries takes.
    plan, report = ot.emd([], [], costs.cpu().numpy(), numItermax=10_000_000, log=True)
    if report["warning"]:
        raise RuntimeError(f"No transport plan was found: {report['warning']}")
    return torch.from_numpy(plan)


def _regularised(costs: Tensor) -> Tensor:
    masses = [costs.new_full((num,), 1 / num) for num in costs.shape]
    # A plan that is stopped after 1000 iterations is good enough for training; do not warn in each step.
    plan: Tensor = ot.sinkhorn(*masses, costs, ENTROPY_WEIGHT, stopThr=1e-6, warn=False)
    return plan
