"""The exact optimal transport plan between two batches."""

import math

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog
from torch import Tensor

from acclimate.errors import NotFiniteError

# Up to so many copies of the larger batch an assignment is faster than a linear program.
MAX_COPIES = 4


@torch.no_grad()
def transport_plan(costs: Tensor) -> Tensor:
    """How much of each source sample goes to each target sample, so that the total cost is least.

    Every sample of a batch has the same mass. An assignment of copies solves this exactly: lcm(N, M) / N copies of each source
    sample and lcm(N, M) / M of each target sample, one to one. Sizes whose least common multiple is large, such as 64 and
    63, go through a linear program, which is exact as well but takes about a hundred times longer. Solved on the processor.

    Args:
        costs: Shape (N, M), finite.

    Returns:
        Shape (N, M), at least 0; rows sum to 1 / N and columns to 1 / M. A constant for the gradient.

    Raises:
        NotFiniteError: If a cost is not finite.

    >>> transport_plan(torch.tensor([[0.0, 1.0], [1.0, 5.0]]))
    tensor([[0.0000, 0.5000],
            [0.5000, 0.0000]])
    """
    if not costs.isfinite().all():
        raise NotFiniteError("Transport costs must be finite, but some are not: the training has diverged.")
    matrix = costs.double().cpu().numpy()
    num = math.lcm(*matrix.shape)
    plan = _assignment(matrix, num) if num <= MAX_COPIES * max(matrix.shape) else _linear_program(matrix)
    return torch.from_numpy(plan).to(costs)


def _assignment(costs: np.ndarray, num: int) -> np.ndarray:
    num_source, num_target = costs.shape
    source, target = np.repeat(np.arange(num_source), num // num_source), np.repeat(np.arange(num_target), num // num_target)
    rows, columns = linear_sum_assignment(costs[np.ix_(source, target)])
    plan = np.zeros_like(costs)
    np.add.at(plan, (source[rows], target[columns]), 1.0 / num)
    return plan


def _linear_program(costs: np.ndarray) -> np.ndarray:
    num_source, num_target = costs.shape
    row_sums = sparse.kron(sparse.eye(num_source), np.ones((1, num_target)))
    column_sums = sparse.kron(np.ones((1, num_source)), sparse.eye(num_target))
    masses = np.concatenate([np.full(num_source, 1.0 / num_source), np.full(num_target, 1.0 / num_target)])
    # Costs are scaled, because the solver's tolerances are absolute.
    scaled = costs / max(np.abs(costs).max(), np.finfo(costs.dtype).tiny)
    solution = linprog(scaled.ravel(), A_eq=sparse.vstack([row_sums, column_sums]).tocsr(), b_eq=masses, method="highs")
    if solution.x is None:
        raise RuntimeError(f"No transport plan was found: {solution.message}")
    plan: np.ndarray = solution.x.reshape(costs.shape).clip(min=0.0)
    return plan
