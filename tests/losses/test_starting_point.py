"""Distances to the starting point: values by hand, invariances, gradients, precision, and what is refused."""

import pytest
import torch

from acclimate.losses.starting_point import feature_map_distance, shrinkage, starting_point_distance


def random_tensors(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, dtype=dtype, generator=generator) for shape in shapes]


SHAPES = [(3, 2), (4,), (2, 3, 1)]
DISTANCES = [starting_point_distance, feature_map_distance]
MAPS = [(3, 2, 2, 4), (3, 5), (3, 4, 6)]


def shapes_for(distance):
    return SHAPES if distance is starting_point_distance else MAPS


def test_distance_of_weights_by_hand():
    weights, start = [torch.tensor([[1.0, 2.0]]), torch.tensor([5.0])], [torch.tensor([[1.0, 0.0]]), torch.tensor([2.0])]
    # (0 + 4 + 9) / 2
    assert starting_point_distance(weights, start).item() == 6.5


def test_shrinkage_by_hand():
    assert shrinkage([torch.tensor([[1.0, -2.0]]), torch.tensor([3.0])]).item() == 7.0


def test_distance_of_maps_by_hand():
    # Squares of 1, 1 and 2 over those of 1, 2 and 1; then 9 over 1.
    start = [torch.tensor([[[1.0, 2.0], [1.0, 0.0]]]), torch.tensor([[1.0]])]
    now = [torch.tensor([[[2.0, 1.0], [-1.0, 0.0]]]), torch.tensor([[4.0]])]
    assert feature_map_distance(now, start).item() == pytest.approx((6 / 6 + 9 / 1) / 2)


@pytest.mark.parametrize("distance", DISTANCES)
def test_it_is_zero_without_a_gradient_at_the_start(distance):
    now = [tensor.requires_grad_() for tensor in random_tensors(*shapes_for(distance))]
    found = distance(now, [tensor.detach().clone() for tensor in now])
    assert found.item() == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(found, now))


@pytest.mark.parametrize("distance", DISTANCES)
def test_order_of_tensors_does_not_matter(distance):
    now, start = random_tensors(*shapes_for(distance)), random_tensors(*shapes_for(distance), seed=1)
    torch.testing.assert_close(distance(now[::-1], start[::-1]), distance(now, start))


def test_distance_of_weights_does_not_depend_on_a_common_shift():
    now, start = random_tensors(*SHAPES), random_tensors(*SHAPES, seed=1)
    expected = starting_point_distance(now, start)
    torch.testing.assert_close(starting_point_distance([tensor + 3 for tensor in now], [tensor + 3 for tensor in start]), expected)


def test_distance_of_maps_depends_neither_on_their_scale_nor_on_how_many_samples_channels_or_positions_repeat():
    now, start = random_tensors((3, 2, 4), (3, 5)), random_tensors((3, 2, 4), (3, 5), seed=1)
    expected = feature_map_distance(now, start)
    torch.testing.assert_close(feature_map_distance([100 * now[0], now[1]], [100 * start[0], start[1]]), expected)
    for repeats in ((2, 1, 1), (1, 2, 1), (1, 1, 3)):
        found = feature_map_distance([now[0].repeat(repeats), now[1]], [start[0].repeat(repeats), start[1]])
        torch.testing.assert_close(found, expected)


def test_maps_that_were_zero_give_a_finite_distance_and_gradient():
    now = torch.full((2, 3), 1e4, requires_grad=True)
    found = feature_map_distance([now], [torch.zeros(2, 3)])
    assert found.isfinite() and torch.autograd.grad(found, now)[0].isfinite().all()


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradient_of_distances_is_the_numerical_one(distance):
    start = random_tensors(*shapes_for(distance), seed=1)
    now = [tensor.requires_grad_() for tensor in random_tensors(*shapes_for(distance))]
    assert torch.autograd.gradcheck(lambda *tensors: distance(tensors, start), now)


def test_gradient_of_shrinkage_is_the_numerical_one():
    assert torch.autograd.gradcheck(lambda *tensors: shrinkage(tensors), [tensor.requires_grad_() for tensor in random_tensors(*SHAPES)])


@pytest.mark.parametrize("distance", DISTANCES)
def test_no_gradient_reaches_the_start(distance):
    now, start = random_tensors(*shapes_for(distance)), random_tensors(*shapes_for(distance), seed=1)
    found = distance([tensor.requires_grad_() for tensor in now], [tensor.requires_grad_() for tensor in start])
    found.backward()
    assert all(tensor.grad is None for tensor in start)


@pytest.mark.parametrize("distance", [*DISTANCES, lambda now, start: shrinkage(now)])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_bf16_tensors_of_ten_thousand_give_finite_values_and_gradients(distance, size):
    now = [torch.full((64, 128), size, dtype=torch.bfloat16, requires_grad=True)]
    with torch.autocast("cpu", torch.bfloat16):
        found = distance(now, [torch.full((64, 128), -size, dtype=torch.bfloat16)])
    assert found.dtype == torch.float32 and found.isfinite()
    assert torch.autograd.grad(found, now)[0].isfinite().all()


@pytest.mark.parametrize("distance", DISTANCES)
def test_differences_of_bf16_tensors_are_not_rounded(distance):
    """511 is no number of bf16, nor is the sum of a thousand squares."""
    now, start = torch.full((1, 1000), 512.0).bfloat16(), torch.full((1, 1000), 1.0).bfloat16()
    size = 1 if distance is starting_point_distance else 1000
    assert distance([now], [start]).item() == pytest.approx(1000 / size * 511**2 / 2)


@pytest.mark.parametrize(("now", "start"), [([], []), ([(2, 3)], []), ([(2, 3)], [(3, 2)]), ([(2, 3)], [(2, 3), (2, 3)])])
@pytest.mark.parametrize("distance", DISTANCES)
def test_other_shapes_or_nothing_are_refused(distance, now, start):
    with pytest.raises(ValueError, match="equal shapes"):
        distance([torch.zeros(shape) for shape in now], [torch.zeros(shape) for shape in start])


def test_no_weights_have_no_shrinkage():
    with pytest.raises(ValueError, match="at least one"):
        shrinkage([])
