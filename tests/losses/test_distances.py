"""Squared distances: values by hand, gradients where rows coincide, and precision far from the origin."""

import pytest
import torch

from acclimate.losses.distances import squared_distances


def random_rows(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_distances_by_hand():
    first, second = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0], [1.0, 1.0], [0.0, 2.0]])
    torch.testing.assert_close(squared_distances(first, second), torch.tensor([[25.0, 2.0, 4.0], [13.0, 0.0, 2.0]]))


def test_moving_both_sets_changes_nothing():
    first, second = random_rows(4, 3), random_rows(5, 3)
    torch.testing.assert_close(squared_distances(first + 2.0, second + 2.0), squared_distances(first, second))


def test_close_rows_keep_their_digits_far_from_the_origin():
    # Sixteenths beside 1000 are exact in float32, but not beside its square.
    first, second = (1000 + (random_rows(30, 5) * 4).round() / 16 for _ in range(2))
    second = second.flip(0)
    torch.testing.assert_close(squared_distances(first.float(), second.float()).double(), squared_distances(first, second))


def test_gradient_is_the_numerical_one_also_where_rows_coincide():
    first, second = random_rows(3, 2), random_rows(4, 2)
    second[1] = first[2]
    assert torch.autograd.gradcheck(squared_distances, (first.requires_grad_(), second.requires_grad_()))


def test_gradient_to_itself_is_zero_on_the_diagonal():
    rows = random_rows(3, 2).requires_grad_()
    squared_distances(rows, rows).trace().backward()
    assert rows.grad.tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_single(autocast):
    first = torch.tensor([[1e4, -1e4]], dtype=torch.bfloat16)
    second = torch.tensor([[-1e4, 1e4]], dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        distance = squared_distances(first, second)
    assert distance.dtype == torch.float32
    assert distance.item() == pytest.approx(2 * (2 * float(first[0, 0])) ** 2, rel=1e-6)
