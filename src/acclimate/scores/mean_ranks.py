"""Aggregation of several scores by mean rank."""

import torch
from torch import Tensor


def mean_ranks(values: Tensor) -> Tensor:
    """Share of the other candidates that each candidate beats, averaged over the scores; a tie counts half.

    The scaled Borda count. Unlike the mean of the values it needs no common unit, but a rank is only meaningful among these
    candidates.

    Args:
        values: Shape (candidates, scores), higher is better; NaN is worse than any number.

    Returns:
        float64 in [0, 1], shape (candidates,); 0.5 for a single candidate.

    >>> mean_ranks(torch.tensor([[1.0, 10.0], [2.0, 10.0], [3.0, 10.0]])).tolist()
    [0.25, 0.5, 0.75]
    """
    values = values.double().nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    others = len(values) - 1
    if others == 0:
        return values.new_full((1,), 0.5)
    beaten = (values[:, None] > values).double() + 0.5 * (values[:, None] == values).double()
    # Subtract the tie of each candidate with itself.
    return ((beaten.sum(dim=1) - 0.5) / others).mean(dim=1)
