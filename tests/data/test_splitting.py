import random
from collections import Counter

import pytest

from acclimate.data.splitting import split
from acclimate.errors import DataError

NAMES = [f"class{number % 3}/{number}.jpg" for number in range(90)]
GROUPS = [number % 3 for number in range(90)]


def divide(names, groups, *, fractions=(0.2, 0.3), seed=0):
    parts = split(names, groups, fractions=fractions, seed=seed, what="/photos")
    return [{names[index] for index in part} for part in parts]


def test_parts_are_disjoint_and_hold_every_sample():
    parts = split(NAMES, GROUPS, fractions=[0.2, 0.3], seed=0, what="/photos")
    assert sorted(index for part in parts for index in part) == list(range(90))


def test_every_group_is_divided_in_the_given_proportions():
    parts = split(NAMES, GROUPS, fractions=[0.2, 0.3], seed=0, what="/photos")
    assert [Counter(GROUPS[index] for index in part) for part in parts] == [{0: 15, 1: 15, 2: 15}, {0: 6, 1: 6, 2: 6}, {0: 9, 1: 9, 2: 9}]


def test_the_order_in_which_samples_are_found_does_not_matter():
    order = random.Random(1).sample(range(90), 90)
    assert divide(NAMES, GROUPS) == divide([NAMES[place] for place in order], [GROUPS[place] for place in order])


def test_another_seed_gives_another_division():
    assert divide(NAMES, GROUPS) != divide(NAMES, GROUPS, seed=1)


def test_one_more_image_moves_few_others():
    before, after = divide(NAMES, GROUPS), divide([*NAMES, "class0/new.jpg"], [*GROUPS, 0])
    assert sum(len(old - new) for old, new in zip(before, after, strict=True)) <= 2


@pytest.mark.parametrize("fractions", [(0.01, 0.01), (0.5, 0.49), (0.9, 0.05), (0.05, 0.9)])
@pytest.mark.parametrize("size", [3, 4, 7])
def test_every_part_gets_some_of_every_group_that_is_large_enough(size, fractions):
    groups = [0] * size + [1] * size
    parts = split([str(number) for number in range(2 * size)], groups, fractions=fractions, seed=0, what="/photos")
    assert [{groups[index] for index in part} for part in parts] == [{0, 1}] * 3


@pytest.mark.parametrize("size", [1, 2])
def test_a_group_too_small_for_all_parts_is_trained_on(size):
    groups = [0] * 10 + [1] * size
    first, *_ = split([str(number) for number in range(10 + size)], groups, fractions=[0.4, 0.4], seed=0, what="/photos")
    assert 1 in {groups[index] for index in first}


@pytest.mark.parametrize("size", [0, 1, 2])
def test_too_few_samples_to_divide_are_refused_by_name_and_number(size):
    with pytest.raises(DataError, match=rf"/photos has {size} images, too few to divide into 3 parts.*train/, val/ and test/"):
        split(NAMES[:size], [0] * size, fractions=[0.2, 0.2], seed=0, what="/photos")
