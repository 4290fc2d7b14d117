"""Cross-correlation and its distance from the identity: values by hand, invariances, gradients, extremes."""

import pytest
import torch
from half_precision import assert_finite_in_bf16

from acclimate.losses.redundancy import cross_correlation, redundancy_reduction


def random_views(num=6, num_dimensions=3):
    return torch.randn(2, num, num_dimensions, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_value_by_hand():
    # Centred, the dimensions are (-1, 0, 1) and (1, -2, 1) in the one view, (-1, 0, 1) and (1, 0, -1) in the other.
    first = torch.tensor([[0.0, 3.0], [1.0, 0.0], [2.0, 3.0]])
    second = torch.tensor([[5.0, 1.0], [6.0, 0.0], [7.0, -1.0]])
    torch.testing.assert_close(cross_correlation(first, second), torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
    assert redundancy_reduction(first, second, off_diagonal_weight=0.1).item() == pytest.approx((1 - 1) ** 2 + (1 - 0) ** 2 + 0.1 * 1)


def test_correlation_is_pearson_s():
    first, second = random_views()
    expected = torch.corrcoef(torch.cat([first, second], dim=1).T)[:3, 3:]
    torch.testing.assert_close(cross_correlation(first, second), expected)


def test_views_that_agree_in_dimensions_that_differ_cost_nothing():
    views = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert redundancy_reduction(views, views).item() == pytest.approx(0.0, abs=1e-12)


def test_order_scale_and_mean_do_not_matter():
    first, second = random_views()
    expected, order = redundancy_reduction(first, second), torch.tensor([5, 3, 0, 4, 1, 2])
    torch.testing.assert_close(redundancy_reduction(first[order], second[order]), expected)
    torch.testing.assert_close(redundancy_reduction(second, first), expected)
    torch.testing.assert_close(redundancy_reduction(first * torch.tensor([2.0, 3.0, 4.0]) + 5, second - 1), expected)
    assert redundancy_reduction(first[order], second) != expected


def test_gradients_are_the_numerical_ones():
    first, second = random_views().requires_grad_()
    assert torch.autograd.gradcheck(lambda *views: redundancy_reduction(*views, off_diagonal_weight=0.3), (first, second))


def test_a_constant_dimension_correlates_with_nothing_and_has_a_bounded_gradient():
    first, second = random_views().float()
    first[:, 0] = 7.0
    first.requires_grad_()
    correlation = cross_correlation(first, second)
    assert not correlation[0].any()
    redundancy_reduction(first, second).backward()
    assert first.grad.abs().max() < 1e6


def test_bf16_projections_of_ten_thousand_give_finite_values_and_gradients():
    first = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]])
    assert_finite_in_bf16(redundancy_reduction, first, -first)


def test_autocast_costs_no_digits():
    first, second = random_views().float()
    expected = redundancy_reduction(first, second)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(redundancy_reduction(first, second), expected, rtol=0, atol=0)


@pytest.mark.parametrize("shapes", [((1, 3), (1, 3)), ((4, 3), (3, 3)), ((4, 3), (4, 2)), ((4,), (4,))])
def test_what_is_no_pair_of_views_of_two_images_is_refused(shapes):
    with pytest.raises(ValueError, match="two views of at least two inputs"):
        cross_correlation(*(torch.zeros(shape) for shape in shapes))


def test_negative_weight_is_refused():
    with pytest.raises(ValueError, match="off_diagonal_weight must be at least 0"):
        redundancy_reduction(torch.eye(2), torch.eye(2), off_diagonal_weight=-0.1)
