import pytest
import torch

from acclimate.data.splitting import split
from acclimate.errors import DataError

DIGESTS = torch.arange(90)
LABELS = torch.arange(90) % 3


def divide(digests, labels, *, fractions=(0.2, 0.3), seed=0):
    parts = split(digests, labels, fractions=fractions, seed=seed, what="/photos")
    return [set(digests[part].tolist()) for part in parts]


@pytest.mark.parametrize("labels", [LABELS, None])
def test_parts_are_disjoint_and_hold_every_sample(labels):
    parts = split(DIGESTS, labels, fractions=[0.2, 0.3], seed=0, what="/photos")
    assert sorted(index for part in parts for index in part) == list(range(90))
    assert [len(part) for part in parts] == [45, 18, 27]


def test_every_class_is_divided_in_the_given_proportions():
    parts = split(DIGESTS, LABELS, fractions=[0.2, 0.3], seed=0, what="/photos")
    assert [LABELS[part].bincount().tolist() for part in parts] == [[15, 15, 15], [6, 6, 6], [9, 9, 9]]


def test_the_order_in_which_samples_are_found_does_not_matter():
    order = torch.randperm(90, generator=torch.Generator().manual_seed(1))
    assert divide(DIGESTS, LABELS) == divide(DIGESTS[order], LABELS[order])
    assert divide(DIGESTS, None) == divide(DIGESTS[order], None)


def test_another_seed_gives_another_division():
    assert divide(DIGESTS, LABELS) != divide(DIGESTS, LABELS, seed=1)


def test_one_more_image_moves_few_others():
    before, after = divide(DIGESTS, LABELS), divide(torch.arange(91), torch.arange(91) % 3)
    assert sum(len(old - new) for old, new in zip(before, after, strict=True)) <= 2


@pytest.mark.parametrize("fractions", [(0.01, 0.01), (0.5, 0.49), (0.9, 0.05), (0.05, 0.9)])
@pytest.mark.parametrize("size", [3, 4, 7])
def test_every_part_gets_some_of_every_class_that_is_large_enough(size, fractions):
    labels = torch.tensor([0] * size + [1] * size)
    parts = split(torch.arange(2 * size), labels, fractions=fractions, seed=0, what="/photos")
    assert [set(labels[part].tolist()) for part in parts] == [{0, 1}] * 3


@pytest.mark.parametrize("size", [1, 2])
def test_a_class_too_small_for_all_parts_is_trained_on(size):
    labels = torch.tensor([0] * 10 + [1] * size)
    first, *_ = split(torch.arange(10 + size), labels, fractions=[0.4, 0.4], seed=0, what="/photos")
    assert 1 in labels[first]


@pytest.mark.parametrize("size", [0, 1, 2])
def test_too_few_samples_to_divide_are_refused_by_name_and_number(size):
    with pytest.raises(DataError, match=rf"/photos has {size} samples, too few to divide into 3 parts.*train, val and test"):
        split(DIGESTS[:size], None, fractions=[0.2, 0.2], seed=0, what="/photos")


@pytest.mark.parametrize("labels", [LABELS, None])
@pytest.mark.parametrize("num_contents", [9, 30, 70])
def test_copies_are_in_one_part_whatever_their_classes(labels, num_contents):
    digests = DIGESTS.roll(7) % num_contents
    parts = divide(digests, labels)
    assert sum(map(len, parts)) == num_contents
    assert set.union(*parts) == set(range(num_contents))


def test_copies_that_do_not_fit_are_trained_on():
    digests = torch.tensor([0] * 60 + list(range(1, 31)))
    parts = split(digests, None, fractions=[0.2, 0.1], seed=0, what="/photos")
    assert [len(part) for part in parts] == [63, 18, 9]
    assert 0 in digests[parts[0]]


def test_every_part_gets_some_even_if_all_have_copies():
    digests = torch.arange(3).repeat(20)
    assert [len(part) for part in split(digests, None, fractions=[0.2, 0.2], seed=0, what="/photos")] == [20, 20, 20]


def test_copies_alone_are_too_few_to_divide():
    with pytest.raises(DataError, match=r"/photos has 20 samples, of which 2 differ, too few to divide into 3 parts"):
        split(torch.arange(20) % 2, None, fractions=[0.2, 0.2], seed=0, what="/photos")
