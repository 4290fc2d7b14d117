"""Ranks by hand, and what they do not depend on."""

import torch

from acclimate.scores.mean_ranks import mean_ranks

# Three candidates, two scores: the first is best by one and worst by the other.
VALUES = torch.tensor([[3.0, 1.0], [2.0, 3.0], [1.0, 2.0]])


def test_every_score_has_the_same_say():
    assert mean_ranks(VALUES).tolist() == [0.5, 0.75, 0.25]


def test_units_do_not_matter():
    assert torch.equal(mean_ranks(VALUES), mean_ranks(torch.stack([1e6 * VALUES[:, 0] - 7, VALUES[:, 1].exp()], dim=1)))


def test_order_of_candidates_does_not_matter():
    assert torch.equal(mean_ranks(VALUES[[2, 0, 1]]), mean_ranks(VALUES)[[2, 0, 1]])


def test_mean_over_the_candidates_is_a_half():
    values = torch.randint(0, 3, (20, 4), generator=torch.Generator().manual_seed(0))
    assert mean_ranks(values).mean() == 0.5


def test_nan_is_worst_and_ties_with_nan():
    assert mean_ranks(torch.tensor([[torch.nan], [-1e30], [torch.nan]])).tolist() == [0.25, 1.0, 0.25]


def test_a_single_candidate_is_neither_good_nor_bad():
    assert mean_ranks(VALUES[:1]).tolist() == [0.5]
