"""`data.source_labels_per_class`: how many labelled images of each class train."""

import pytest
import torch
from small_runs import IMAGE_SIZE, NUM_CLASSES

from acclimate.data.images.arrays import Arrays
from acclimate.errors import DataError
from acclimate.inputs import ImageSpec
from acclimate.types import Needs


@pytest.fixture
def data(archives):
    """Data for training with so many labels, by the seed."""
    source, target = (text.partition("=")[2] for text in archives[1:])

    def build(num, *, seed=0, source=source):
        built = Arrays(source=source, target=target, seed=seed, source_labels_per_class=num)
        built.prepare_for(spec=ImageSpec(IMAGE_SIZE), needs=Needs(), reveal_target_labels=False)
        return built

    return build


def pixels(images):
    return {tuple(image.flatten().tolist()) for image in images.load(range(len(images)))}


@pytest.mark.parametrize("num", [1, 2, 5])
def test_so_many_images_of_each_class_train(data, num):
    labels = data(num).domains.source.train.labels
    assert torch.bincount(labels).tolist() == [num] * NUM_CLASSES


def test_they_are_among_those_that_train_otherwise_and_keep_their_labels(data):
    everything, few = (data(num).domains.source.train for num in (None, 3))
    label_of = {tuple(everything.load([index]).flatten().tolist()): label for index, label in enumerate(everything.labels.tolist())}
    assert [label_of[tuple(few.load([index]).flatten().tolist())] for index in range(len(few))] == few.labels.tolist()


def test_the_seed_chooses_them(data):
    first, again, other = (pixels(data(2, seed=seed).domains.source.train) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_fewer_labels_are_a_part_of_more(data):
    assert pixels(data(2).domains.source.train) < pixels(data(4).domains.source.train)


def test_all_other_parts_stay_as_they_are(data):
    few, everything = data(1).domains, data(None).domains
    assert pixels(few.source.val) == pixels(everything.source.val)
    assert pixels(few.source.test) == pixels(everything.source.test)
    assert all(pixels(part) == pixels(other) for part, other in zip(few.target, everything.target, strict=True))


def test_training_batches_hold_no_others(data):
    built = data(1)
    chosen = pixels(built.domains.source.train)
    loader = iter(built.train_dataloader())
    batch = next(loader)
    assert {tuple(image.flatten().tolist()) for image in batch.source.inputs} == chosen


def test_a_class_that_has_fewer_is_named(data):
    with pytest.raises(DataError, match=r"data\.source_labels_per_class=7, but the class \d has only 6 training samples"):
        data(7)
