"""NT-Xent: values by hand, invariances, gradients, and projections beyond reason."""

import math
from functools import partial

import pytest
import torch
from half_precision import assert_finite_in_bf16

from acclimate.losses.contrastive import nt_xent


def random_views(num=5, num_dimensions=4):
    return torch.randn(2, num, num_dimensions, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_value_by_hand():
    # First views point to the east and north, second ones to the east and west, where 0.5 divides all cosines.
    first, second = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [-1.0, 0.0]])
    together, across, apart = math.exp(2), 1.0, math.exp(-2)
    expected = [
        -math.log(together / (together + across + apart)),
        -math.log(across / (across + across + across)),
        -math.log(together / (together + across + apart)),
        -math.log(across / (apart + apart + across)),
    ]
    assert nt_xent(first, second, temperature=0.5).item() == pytest.approx(sum(expected) / 4)


def test_views_that_are_all_alike_are_guessed_among():
    views = torch.ones(4, 3)
    assert nt_xent(views, views).item() == pytest.approx(math.log(2 * 4 - 1))


def test_views_that_are_found_for_certain_cost_nothing():
    views = torch.eye(4)
    assert nt_xent(views, views, temperature=0.01).item() == pytest.approx(0.0, abs=1e-12)


def test_order_of_images_and_of_views_and_length_of_projections_do_not_matter():
    first, second = random_views()
    expected, order = nt_xent(first, second), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(nt_xent(first[order], second[order]), expected)
    torch.testing.assert_close(nt_xent(second, first), expected)
    torch.testing.assert_close(nt_xent(first * torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]]), 7 * second), expected)
    assert nt_xent(first[order], second) != expected


def test_gradients_are_the_numerical_ones():
    first, second = random_views().requires_grad_()
    assert torch.autograd.gradcheck(lambda *views: nt_xent(*views, temperature=0.3), (first, second))


def test_descent_brings_the_views_of_an_image_together():
    first, second = random_views()
    first.requires_grad_()
    (gradient,) = torch.autograd.grad(nt_xent(first, second), first)
    cosine = torch.cosine_similarity(first - 0.1 * gradient, second)
    assert cosine.sum() > torch.cosine_similarity(first, second).sum()


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_bf16_projections_of_ten_thousand_give_finite_values_and_gradients(temperature):
    first = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]])
    assert_finite_in_bf16(partial(nt_xent, temperature=temperature), first, -first)


def test_autocast_costs_no_digits():
    first, second = random_views().float()
    expected = nt_xent(first, second, temperature=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(nt_xent(first, second, temperature=0.05), expected, rtol=0, atol=0)


@pytest.mark.parametrize("shapes", [((1, 3), (1, 3)), ((4, 3), (3, 3)), ((4, 3), (4, 2)), ((4,), (4,))])
def test_what_is_no_pair_of_views_of_two_images_is_refused(shapes):
    with pytest.raises(ValueError, match="two views of at least two inputs"):
        nt_xent(*(torch.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be above 0"):
        nt_xent(torch.eye(2), torch.eye(2), temperature=temperature)
