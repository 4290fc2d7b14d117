"""MMD and JMMD: values by hand, what the unbiased estimate is on average, gradients, and features beyond reason."""

import math

import pytest
import torch
from half_precision import assert_finite_in_bf16

from acclimate.losses.kernel_discrepancy import bandwidth_family, joint_maximum_mean_discrepancy, maximum_mean_discrepancy

FAMILY = (0.125, 0.25, 0.5, 1.0, 2.0)


def random_features(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def adapted(source, target):
    return maximum_mean_discrepancy(source, target, bandwidths=bandwidth_family(source, target, factors=FAMILY))


def joint(source, target):
    """Over features and the probabilities of three classes, the last columns of each set."""
    split = [[domain[:, :-3], domain[:, -3:].softmax(dim=1)] for domain in (source, target)]
    return joint_maximum_mean_discrepancy(*split, bandwidths=[bandwidth_family(split[0][0], split[1][0], factors=FAMILY), [0.92]])


DISCREPANCIES = [adapted, joint]


def test_discrepancy_by_hand():
    # Distances: 2 within the source; 0, 1, 2 within the target; 1 or less between them.
    source, target = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0], [2.0]])
    k = [1.0, math.exp(-1 / 2), math.exp(-4 / 2)]
    expected = k[2] + (k[0] + 2 * k[1]) / 3 - 2 * (2 * k[1] + k[2] + 2 * k[1] + k[0]) / 6
    assert maximum_mean_discrepancy(source, target, bandwidths=[1.0]).item() == pytest.approx(expected)
    assert expected < 0


def test_joint_discrepancy_by_hand():
    # The second layer tells the two source samples apart, and target samples from source samples, at distance 2.
    source = [torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])]
    target = [torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [2.0]])]
    k = [1.0, math.exp(-1 / 2), math.exp(-4 / 2)]
    expected = k[1] * k[2] + k[1] - 2 * (k[2] + k[1] * k[2] + k[1] + 1) / 4
    assert joint_maximum_mean_discrepancy(source, target, bandwidths=[[1.0], [1.0]]).item() == pytest.approx(expected)


def test_joint_discrepancy_sees_classes_that_are_exchanged_where_each_layer_alone_sees_nothing():
    features, classes = torch.tensor([[0.0], [0.0], [5.0], [5.0]]), torch.eye(2)
    right, wrong = classes[[0, 0, 1, 1]], classes[[1, 1, 0, 0]]
    layers = {"bandwidths": [[1.0], [0.92]]}
    exchanged = joint_maximum_mean_discrepancy([features, right], [features, wrong], **layers)
    assert exchanged > joint_maximum_mean_discrepancy([features, right], [features, right], **layers) + 0.5
    assert maximum_mean_discrepancy(right, wrong, bandwidths=[0.92]) == maximum_mean_discrepancy(right, right, bandwidths=[0.92])


def test_joint_discrepancy_of_one_layer_is_the_discrepancy():
    source, target = random_features(5, 3), random_features(4, 3, seed=1)
    alone = maximum_mean_discrepancy(source, target, bandwidths=[0.5, 2.0])
    assert torch.equal(joint_maximum_mean_discrepancy([source], [target], bandwidths=[[0.5, 2.0]]), alone)


def test_several_kernels_are_averaged():
    source, target = random_features(5, 3), random_features(4, 3, seed=1)
    single = [maximum_mean_discrepancy(source, target, bandwidths=[width]) for width in (0.5, 2.0)]
    torch.testing.assert_close(maximum_mean_discrepancy(source, target, bandwidths=[0.5, 2.0]), sum(single) / 2)


@pytest.mark.parametrize("sizes", [(6, 6), (3, 9)])
def test_discrepancy_is_zero_in_expectation_for_equal_distributions(sizes):
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(2000, sum(sizes), 3, dtype=torch.float64, generator=generator)
    values = torch.stack([maximum_mean_discrepancy(d[: sizes[0]], d[sizes[0] :], bandwidths=[0.5, 2.0]) for d in draws])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
    # The biased estimate is far from that: its diagonals alone add 1/N + 1/M of what a kernel loses.
    assert values.std() / math.sqrt(len(values)) < 0.005


def test_discrepancy_has_no_floor_and_no_root():
    source, target = random_features(8, 2), random_features(8, 2, seed=1)
    assert adapted(source, source.roll(1, dims=0)) < 0
    far = [adapted(source, target + shift) for shift in (0.0, 1.0, 2.0, 4.0)]
    assert far == sorted(far)


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_order_of_samples_and_of_domains_does_not_matter(discrepancy):
    source, target = random_features(7, 6), random_features(4, 6, seed=1)
    value = discrepancy(source, target)
    torch.testing.assert_close(discrepancy(source.flip(0), target.roll(1, dims=0)), value)
    torch.testing.assert_close(discrepancy(target, source), value)


def test_unit_of_the_features_does_not_matter_when_bandwidths_follow_it():
    source, target = random_features(7, 6), random_features(4, 6, seed=1)
    torch.testing.assert_close(adapted(100 * source + 3, 100 * target + 3), adapted(source, target))


def test_bandwidths_follow_the_mean_squared_distance_of_different_samples():
    source, target = random_features(3, 2), random_features(4, 2, seed=1)
    both = torch.cat([source, target])
    distances = [(both[i] - both[j]).square().sum() for i in range(7) for j in range(7) if i != j]
    expected = (torch.stack(distances).mean() * torch.tensor([0.5, 2.0], dtype=torch.float64)).sqrt()
    torch.testing.assert_close(bandwidth_family(source, target, factors=[0.5, 2.0]), expected)


def test_bandwidths_are_constants_for_the_gradient():
    source, target = random_features(3, 2).requires_grad_(), random_features(4, 2, seed=1).requires_grad_()
    assert not bandwidth_family(source, target, factors=FAMILY).requires_grad
    fixed = bandwidth_family(source, target, factors=FAMILY).tolist()
    constant = torch.autograd.grad(maximum_mean_discrepancy(source, target, bandwidths=fixed), [source, target])
    torch.testing.assert_close(torch.autograd.grad(adapted(source, target), [source, target]), constant)


def test_discrepancy_draws_the_domains_together():
    source, target = random_features(6, 2), random_features(6, 2, seed=1) + 2
    target.requires_grad_()
    adapted(source, target).backward()
    assert (target.grad.sum(dim=0) > 0).all()


@pytest.mark.parametrize("sizes", [(3, 5), (4, 2)])
def test_gradients_are_the_numerical_ones(sizes):
    source, target = random_features(sizes[0], 3), random_features(sizes[1], 3, seed=1)
    target[0] = source[0]
    sets = (source.requires_grad_(), target.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: maximum_mean_discrepancy(a, b, bandwidths=[0.5, 2.0]), sets)
    assert torch.autograd.gradcheck(
        lambda a, b: joint_maximum_mean_discrepancy([a, a.softmax(dim=1)], [b, b.softmax(dim=1)], bandwidths=[[0.5, 2.0], [0.92]]), sets
    )


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
@pytest.mark.parametrize("pattern", ["spread", "domains apart", "all equal"])
def test_bf16_features_of_ten_thousand_give_finite_values_and_gradients(discrepancy, pattern):
    signs = {
        "spread": torch.randint(0, 2, (8, 6), generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0,
        "domains apart": torch.tensor([[1.0]] * 4 + [[-1.0]] * 4).expand(8, 6),
        "all equal": torch.ones(8, 6),
    }[pattern]
    assert_finite_in_bf16(discrepancy, 1e4 * signs[:4], 1e4 * signs[4:])


def test_bandwidths_of_half_precision_are_computed_in_single():
    source, target = random_features(7, 6).bfloat16(), random_features(4, 6, seed=1).bfloat16()
    assert torch.equal(bandwidth_family(source, target, factors=FAMILY), bandwidth_family(source.float(), target.float(), factors=FAMILY))


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_autocast_changes_nothing(discrepancy):
    source, target = random_features(7, 6).float(), random_features(4, 6, seed=1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = discrepancy(source, target)
    assert torch.equal(inside, discrepancy(source, target))


@pytest.mark.parametrize("sizes", [(1, 3), (3, 1)])
def test_domain_with_one_sample_is_refused(sizes):
    with pytest.raises(ValueError, match="two samples"):
        maximum_mean_discrepancy(torch.zeros(sizes[0], 2), torch.zeros(sizes[1], 2), bandwidths=[1.0])


@pytest.mark.parametrize("bandwidths", [[], [1.0, 0.0], [-1.0], [math.nan]])
def test_bandwidths_must_be_positive(bandwidths):
    with pytest.raises(ValueError, match="above 0"):
        maximum_mean_discrepancy(torch.zeros(2, 2), torch.zeros(2, 2), bandwidths=bandwidths)


@pytest.mark.parametrize("factors", [[], [1.0, 0.0], [-1.0]])
def test_factors_must_be_positive(factors):
    with pytest.raises(ValueError, match="above 0"):
        bandwidth_family(torch.zeros(2, 2), torch.zeros(2, 2), factors=factors)


def test_layers_must_match():
    layer = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="same number of layers"):
        joint_maximum_mean_discrepancy([layer, layer], [layer], bandwidths=[[1.0], [1.0]])
    with pytest.raises(ValueError, match="same number of layers"):
        joint_maximum_mean_discrepancy([], [], bandwidths=[])
