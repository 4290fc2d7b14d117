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
    # One layer of two samples, two channels and two positions: (1 + 9) and (0 + 4) in the first sample, (4 + 4) in the second.
    now = torch.tensor([[[1.0, 3.0], [0.0, 2.0]], [[2.0, 2.0], [0.0, 0.0]]])
    # Another without positions: squares of 1 and 2.
    flat = torch.tensor([[1.0], [2.0]])
    # Half of: 22 over two positions and two samples, and 5 over two samples.
    assert feature_map_distance([now, flat], [torch.zeros_like(now), torch.zeros_like(flat)]).item() == pytest.approx((22 / 4 + 5 / 2) / 2)


@pytest.mark.parametrize("distance", DISTANCES)
def test_it_is_zero_without_a_gradient_at_the_start(distance):
    now = [tensor.requires_grad_() for tensor in random_tensors(*shapes_for(distance))]
    found = distance(now, [tensor.detach().clone() for tensor in now])
    assert found.item() == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(found, now))


@pytest.mark.parametrize("distance", DISTANCES)
def test_order_of_tensors_does_not_matter_and_a_common_shift_neither(distance):
    now, start = random_tensors(*shapes_for(distance)), random_tensors(*shapes_for(distance), seed=1)
    expected = distance(now, start)
    torch.testing.assert_close(distance(now[::-1], start[::-1]), expected)
    torch.testing.assert_close(distance([tensor + 3 for tensor in now], [tensor + 3 for tensor in start]), expected)
    torch.testing.assert_close(distance([2 * tensor for tensor in now], [2 * tensor for tensor in start]), 4 * expected)


def test_repeated_samples_and_positions_do_not_change_the_distance_of_maps():
    now, start = random_tensors((3, 2, 4)), random_tensors((3, 2, 4), seed=1)
    expected = feature_map_distance(now, start)
    for repeats in ((2, 1, 1), (1, 1, 3)):
        found = feature_map_distance([tensor.repeat(repeats) for tensor in now], [tensor.repeat(repeats) for tensor in start])
        torch.testing.assert_close(found, expected)
    twice = feature_map_distance([tensor.repeat(1, 2, 1) for tensor in now], [tensor.repeat(1, 2, 1) for tensor in start])
    torch.testing.assert_close(twice, 2 * expected)


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


def test_small_differences_of_large_weights_survive_bf16():
    """In bf16 the square of the difference and the sum of a thousand of them would be rounded."""
    now, start = torch.full((1000,), 257.0).bfloat16(), torch.full((1000,), 255.0).bfloat16()
    assert starting_point_distance([now], [start]).item() == 1000 * (now.float() - start.float())[0].square().item() / 2


@pytest.mark.parametrize(("now", "start"), [([], []), ([(2, 3)], []), ([(2, 3)], [(3, 2)]), ([(2, 3)], [(2, 3), (2, 3)])])
@pytest.mark.parametrize("distance", DISTANCES)
def test_other_shapes_or_nothing_are_refused(distance, now, start):
    with pytest.raises(ValueError, match="equal shapes"):
        distance([torch.zeros(shape) for shape in now], [torch.zeros(shape) for shape in start])


def test_maps_without_channels_and_no_weights_are_refused():
    with pytest.raises(ValueError, match=r"\(N, C, \.\.\.\)"):
        feature_map_distance([torch.zeros(3)], [torch.zeros(3)])
    with pytest.raises(ValueError, match="at least one"):
        shrinkage([])
