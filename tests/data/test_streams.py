from collections import Counter

import pytest

from acclimate.data.streams import SampleStream

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
