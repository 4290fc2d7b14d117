from collections import Counter

import pytest
import torch

from acclimate.data.sampling import BalancedStream, SampleStream

SIZES = [(10, 4), (3, 8), (1, 5), (6, 6), (7, 1)]


@pytest.mark.parametrize(("num_samples", "batch_size"), SIZES)
def test_a_batch_depends_on_the_seed_and_its_number_and_not_on_what_was_asked_for_before(num_samples, batch_size):
    in_order = SampleStream(num_samples, batch_size, seed=3)
    expected = [in_order.batch(number) for number in range(30)]
    backwards = SampleStream(num_samples, batch_size, seed=3)
    assert [backwards.batch(number) for number in reversed(range(30))] == expected[::-1]
    assert SampleStream(num_samples, batch_size, seed=3).batch(29) == expected[29]


@pytest.mark.parametrize(("num_samples", "batch_size"), SIZES)
def test_every_sample_is_drawn_once_before_any_is_drawn_again(num_samples, batch_size):
    stream = SampleStream(num_samples, batch_size, seed=0)
    draws = [draw for number in range(40) for draw in stream.batch(number)]
    for epoch in range(len(draws) // num_samples):
        permutation = draws[epoch * num_samples : (epoch + 1) * num_samples]
        assert Counter(draw.sample for draw in permutation) == Counter(range(num_samples))
        assert {draw.epoch for draw in permutation} == {epoch}


@pytest.mark.parametrize(("num_samples", "batch_size"), SIZES)
def test_all_batches_are_full_also_those_that_span_permutations(num_samples, batch_size):
    stream = SampleStream(num_samples, batch_size, seed=0)
    assert {len(stream.batch(number)) for number in range(20)} == {batch_size}


def test_permutations_differ_from_each_other_and_between_seeds():
    stream = SampleStream(50, 50, seed=0)
    orders = [[draw.sample for draw in stream.batch(number)] for number in range(3)]
    orders.append([draw.sample for draw in SampleStream(50, 50, seed=1).batch(0)])
    assert len({tuple(order) for order in orders}) == 4


def test_a_long_run_keeps_few_permutations_in_memory():
    stream = SampleStream(10, 4, seed=0)
    for number in range(1000):
        stream.batch(number)
    assert len(stream._permutations) <= 4


# Images of each class, of which the second has none and another only one, and sizes of a batch: more and fewer than classes.
IMBALANCED = [([5, 0, 1, 11], 7), ([3, 0, 8], 4), ([40, 2], 1), ([2, 2, 2, 9, 1], 3), ([4], 3), ([6, 3, 3], 9)]


def labels_of(counts):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize(("counts", "batch_size"), IMBALANCED)
def test_classes_are_as_equally_frequent_in_every_balanced_batch_as_they_can_be(counts, batch_size):
    labels = labels_of(counts)
    stream, present = BalancedStream(labels, batch_size, seed=0), [label for label, count in enumerate(counts) if count]
    total = Counter()
    for number in range(60):
        found = Counter(int(labels[draw.sample]) for draw in stream.batch(number))
        total += found
        assert sum(found.values()) == batch_size
        assert {found[label] for label in present} <= {batch_size // len(present), -(-batch_size // len(present))}
        assert max(total[label] for label in present) - min(total[label] for label in present) <= 1
    assert sorted(total) == present


@pytest.mark.parametrize(("counts", "batch_size"), IMBALANCED)
def test_every_sample_of_a_class_is_drawn_once_before_any_is_drawn_again(counts, batch_size):
    labels = labels_of(counts)
    stream = BalancedStream(labels, batch_size, seed=0)
    draws = [draw for number in range(300 // batch_size) for draw in stream.batch(number)]
    assert {draw.sample for draw in draws} == set(range(len(labels)))
    for label, count in enumerate(counts):
        members = set((labels == label).nonzero().flatten().tolist())
        of_class = [draw for draw in draws if draw.sample in members]
        for epoch in range(len(of_class) // max(count, 1)):
            permutation = of_class[epoch * count : (epoch + 1) * count]
            assert {draw.sample for draw in permutation} == members
            assert {draw.epoch for draw in permutation} == {epoch}


@pytest.mark.parametrize(("counts", "batch_size"), IMBALANCED)
def test_a_balanced_batch_depends_on_the_seed_and_its_number_alone(counts, batch_size):
    in_order = BalancedStream(labels_of(counts), batch_size, seed=3)
    expected = [in_order.batch(number) for number in range(30)]
    backwards = BalancedStream(labels_of(counts), batch_size, seed=3)
    assert [backwards.batch(number) for number in reversed(range(30))] == expected[::-1]
    assert BalancedStream(labels_of(counts), batch_size, seed=3).batch(29) == expected[29]


def test_balanced_streams_of_different_seeds_have_different_orders_of_samples_and_of_classes():
    labels = labels_of([20, 20, 20])
    first, second = ([draw.sample for draw in BalancedStream(labels, 30, seed).batch(0)] for seed in (0, 1))
    assert set(first) != set(second)
    orders = {tuple(labels[[draw.sample for draw in BalancedStream(labels, 3, seed).batch(0)]].tolist()) for seed in range(9)}
    assert len(orders) > 2


def test_which_classes_share_a_batch_with_fewer_places_than_classes_changes():
    labels = labels_of([5] * 6)
    stream = BalancedStream(labels, 2, seed=0)
    pairs = {frozenset(labels[[draw.sample for draw in stream.batch(number)]].tolist()) for number in range(30)}
    assert len(pairs) > 6
