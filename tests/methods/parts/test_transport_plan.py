"""The optimal transport plan: exact for the usual sizes of batches, and nearly so for large ones."""

import itertools
import time

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from acclimate.methods.parts.transport_plan import transport_plan

SIZES = [(4, 4), (6, 3), (3, 6), (4, 6), (1, 5), (7, 6), (5, 8), (64, 63)]


def random_costs(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_equal_batches_are_matched_one_to_one_with_the_least_cost_of_all_permutations():
    costs = random_costs(5, 5)
    least = min(sum(costs[row, column] for row, column in enumerate(order)) / 5 for order in itertools.permutations(range(5)))
    plan = transport_plan(costs)
    assert sorted(plan.flatten().tolist()) == pytest.approx([0.0] * 20 + [0.2] * 5)
    assert (plan * costs).sum().item() == pytest.approx(least.item())


def test_plan_by_hand_divides_a_sample_between_two():
    costs = torch.tensor([[0.0, 1.0, 9.0], [9.0, 1.0, 0.0]])
    torch.testing.assert_close(transport_plan(costs), torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]) / 6)


@pytest.mark.parametrize("sizes", SIZES)
def test_all_mass_leaves_and_arrives(sizes):
    plan = transport_plan(random_costs(*sizes))
    assert (plan >= 0).all()
    torch.testing.assert_close(plan.sum(dim=1), torch.full((sizes[0],), 1 / sizes[0], dtype=torch.float64))
    torch.testing.assert_close(plan.sum(dim=0), torch.full((sizes[1],), 1 / sizes[1], dtype=torch.float64))


@pytest.mark.parametrize("sizes", SIZES)
def test_no_exchange_of_mass_between_four_samples_is_cheaper(sizes):
    """Optimal plans have supports that are cyclically monotone; here for cycles of two."""
    costs = random_costs(*sizes)
    used = transport_plan(costs).nonzero()
    for (i, j), (k, m) in itertools.combinations(used.tolist(), 2):
        assert costs[i, j] + costs[k, m] <= costs[i, m] + costs[k, j] + 1e-9


@pytest.mark.parametrize("factor", [1e-6, 1e10])
@pytest.mark.parametrize("sizes", [(4, 6), (7, 6)])
def test_unit_of_the_costs_and_a_price_for_each_sample_do_not_matter(sizes, factor):
    costs = random_costs(*sizes)
    torch.testing.assert_close(transport_plan(factor * costs), transport_plan(costs))
    torch.testing.assert_close(transport_plan(costs + random_costs(sizes[0], 1)), transport_plan(costs))


@pytest.mark.parametrize("sizes", [(4, 6), (7, 6), (16, 15), (12, 12)])
def test_cost_is_that_of_the_linear_program(sizes):
    costs = random_costs(*sizes)
    rows, columns = (np.eye(num) for num in sizes)
    sums = np.vstack([np.kron(rows, np.ones(sizes[1])), np.kron(np.ones(sizes[0]), columns)])
    masses = np.repeat([1 / num for num in sizes], sizes)
    least = linprog(costs.numpy().ravel(), A_eq=sums, b_eq=masses).fun
    assert (transport_plan(costs) * costs).sum().item() == pytest.approx(least, rel=1e-9)


def test_batches_whose_sizes_share_no_divisor_take_about_as_long_as_others():
    seconds = {255: [], 256: []}
    for _ in range(3):
        for num, measured in seconds.items():
            costs = random_costs(256, num)
            start = time.perf_counter()
            transport_plan(costs)
            measured.append(time.perf_counter() - start)
    assert min(seconds[255]) < 8 * min(seconds[256])


def test_equal_costs_give_any_plan_with_the_masses():
    plan = transport_plan(torch.full((4, 6), 3.0))
    torch.testing.assert_close(plan.sum(dim=1), torch.full((4,), 1 / 4))
    torch.testing.assert_close(plan.sum(dim=0), torch.full((6,), 1 / 6))


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e10])
@pytest.mark.parametrize("sizes", [(40, 40), (40, 30)])
def test_plan_of_large_batches_costs_little_more_than_the_exact_one(monkeypatch, sizes, factor):
    costs = factor * (random_costs(*sizes) - 0.5)
    exact = transport_plan(costs)
    monkeypatch.setattr("acclimate.methods.parts.transport_plan.MAX_EXACT", 1000)
    plan = transport_plan(costs)
    assert (plan > 0).all()
    torch.testing.assert_close(plan.sum(dim=1), torch.full((sizes[0],), 1 / sizes[0], dtype=torch.float64))
    torch.testing.assert_close(plan.sum(dim=0), torch.full((sizes[1],), 1 / sizes[1], dtype=torch.float64), rtol=1e-3, atol=0)
    excess = ((plan - exact) * costs).sum().item() / factor
    assert 0 < excess < 0.02


def test_plan_is_a_constant_for_the_gradient():
    assert not transport_plan(random_costs(3, 4).requires_grad_()).requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_plan_has_the_type_of_the_costs(dtype):
    assert transport_plan(random_costs(3, 4).to(dtype)).dtype == dtype


def test_costs_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="diverged"):
        transport_plan(torch.tensor([[0.0, float("nan")]]))
