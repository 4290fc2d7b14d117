import itertools
from collections import Counter

import pytest
import torch

from acclimate.data.images.image_arrays import ImageArrays
from acclimate.data.images.views import ImageView
from acclimate.data.loaders import EvaluationBatches, Feed, TrainingBatches, TrainingLoader, batch_loader
from acclimate.data.viewed_samples import ViewedSamples
from acclimate.types import Labelled, Unlabelled

SIZE = 8


def numbered_images(num_images, *, labelled=True):
    """Images of which each pixel says which image it is."""
    values = torch.arange(num_images, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, SIZE, SIZE).contiguous()
    return ImageArrays(values, torch.arange(num_images) % 4 if labelled else None)


def textured_images(num_images):
    pixels = torch.randint(0, 256, (num_images, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageArrays(pixels, torch.arange(num_images) % 4)


def training_loader(source, target, *, per_epoch=5, num_workers=0, view="shift", sampling="natural", **placement):
    feeds = [
        Feed(ViewedSamples(source, [ImageView(view, image_size=SIZE)], seed=1), 4, seed=1, sampling=sampling),
        Feed(ViewedSamples(target, [ImageView(view, image_size=SIZE)] * 2, seed=2), 3, seed=2),
    ]
    return TrainingLoader(TrainingBatches(*feeds), batches_per_epoch=per_epoch, num_workers=num_workers, **placement)


def epochs(loader, num_epochs):
    return [batch for _ in range(num_epochs) for batch in loader]


def assert_equal_batches(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.source.inputs, other.source.inputs)
        assert torch.equal(one.source.labels, other.source.labels)
        assert all(torch.equal(view, same) for view, same in zip(one.target.views, other.target.views, strict=True))


def test_workers_change_no_batch():
    source, target = textured_images(9), textured_images(14)
    expected = epochs(training_loader(source, target), 3)
    assert_equal_batches(epochs(training_loader(source, target, num_workers=2), 3), expected)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_that_was_stopped_within_an_epoch_continues_exactly(num_workers):
    source, target = textured_images(9), textured_images(14)
    expected = epochs(training_loader(source, target), 3)
    stopped = training_loader(source, target, num_workers=num_workers)
    first = list(stopped) + list(itertools.islice(stopped, 3))
    resumed = training_loader(source, target, num_workers=num_workers)
    resumed.load_state_dict(stopped.state_dict())
    assert_equal_batches(first + list(itertools.islice(resumed, 2)) + list(resumed), expected)


def test_a_loader_that_was_stopped_at_the_end_of_an_epoch_continues_with_the_next():
    source, target = textured_images(9), textured_images(14)
    stopped, resumed = training_loader(source, target), training_loader(source, target)
    list(stopped)
    resumed.load_state_dict(stopped.state_dict())
    assert_equal_batches(list(resumed), list(stopped))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loop_that_breaks_off_is_taken_up_where_it_stopped(num_workers):
    loader = training_loader(textured_images(9), textured_images(14), num_workers=num_workers)
    expected = epochs(training_loader(textured_images(9), textured_images(14), per_epoch=7), 1)
    assert_equal_batches(list(itertools.islice(loader, 2)) + list(loader), expected)


@pytest.mark.parametrize(("num_source", "num_target"), [(2, 23), (23, 2), (12, 9), (1, 1)])
def test_domains_of_unequal_size_are_each_seen_evenly_and_nobody_is_dropped(num_source, num_target):
    loader = training_loader(numbered_images(num_source), numbered_images(num_target), per_epoch=23, view="plain")
    batches = epochs(loader, 2)
    for num_images, images in (
        (num_source, torch.cat([batch.source.inputs for batch in batches])),
        (num_target, torch.cat([batch.target.views[0] for batch in batches])),
    ):
        counts = Counter(images[:, 0, 0, 0].tolist())
        assert set(counts) == set(range(num_images))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_batches_keep_their_size_when_a_domain_is_smaller_than_a_batch():
    for batch in training_loader(numbered_images(2), numbered_images(1)):
        assert batch.source.inputs.shape == (4, 3, SIZE, SIZE)
        assert [view.shape for view in batch.target.views] == [(3, 3, SIZE, SIZE)] * 2


def test_labels_stay_with_their_images():
    for batch in epochs(training_loader(numbered_images(9), numbered_images(5), view="plain"), 2):
        assert torch.equal(batch.source.inputs[:, 0, 0, 0] % 4, batch.source.labels)


def test_an_image_looks_different_in_every_epoch_and_in_every_view():
    batches = epochs(training_loader(textured_images(4), textured_images(3), per_epoch=1), 2)
    assert not torch.equal(batches[0].source.inputs, batches[1].source.inputs)
    assert not torch.equal(*batches[0].target.views)


def test_target_images_without_labels_can_be_trained_on():
    batch = next(iter(training_loader(numbered_images(9), numbered_images(5, labelled=False))))
    assert isinstance(batch.target, Unlabelled)


def test_processes_that_train_together_share_the_batches_among_them():
    source, target = textured_images(9), textured_images(14)
    alone = epochs(training_loader(source, target, per_epoch=10), 2)
    first = epochs(training_loader(source, target, per_epoch=5, rank=0, world_size=2), 2)
    second = epochs(training_loader(source, target, per_epoch=5, rank=1, world_size=2), 2)
    assert_equal_batches([batch for pair in zip(first, second, strict=True) for batch in pair], alone)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_global_random_state_is_left_alone(num_workers):
    before = torch.get_rng_state()
    epochs(training_loader(textured_images(9), textured_images(14), num_workers=num_workers), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_goes_through_all_images_once_and_in_order(num_workers):
    batches = EvaluationBatches(numbered_images(11), ImageView("plain", image_size=SIZE), batch_size=4, labelled=True)
    found = list(batch_loader(batches, num_workers=num_workers))
    assert [len(batch.inputs) for batch in found] == [4, 4, 3]
    assert torch.cat([batch.inputs[:, 0, 0, 0] for batch in found]).tolist() == list(range(11))
    assert torch.equal(torch.cat([batch.labels for batch in found]), torch.arange(11) % 4)


def test_evaluation_batches_without_permission_have_no_labels():
    batches = EvaluationBatches(numbered_images(3), ImageView("plain", image_size=SIZE), batch_size=2, labelled=False)
    assert all(isinstance(batch, Unlabelled) for batch in batches)
    assert isinstance(EvaluationBatches(numbered_images(3), ImageView("plain", image_size=SIZE), batch_size=2, labelled=True)[0], Labelled)


def imbalanced_images():
    pixels = textured_images(14).images
    return ImageArrays(pixels, torch.tensor([0] * 9 + [1] * 4 + [2]))


def test_balanced_sampling_makes_the_classes_of_the_source_equally_frequent_and_leaves_the_target_alone():
    unlabelled = numbered_images(5, labelled=False)
    natural = epochs(training_loader(imbalanced_images(), unlabelled), 3)
    balanced = epochs(training_loader(imbalanced_images(), unlabelled, sampling="balanced"), 3)
    assert torch.cat([batch.source.labels for batch in balanced]).bincount().tolist() == [20, 20, 20]
    assert all(sorted(batch.source.labels.bincount(minlength=3).tolist()) == [1, 1, 2] for batch in balanced)
    for one, other in zip(natural, balanced, strict=True):
        assert all(torch.equal(view, same) for view, same in zip(one.target.views, other.target.views, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_balanced_loader_that_was_stopped_continues_exactly_with_any_number_of_workers(num_workers):
    source, target = imbalanced_images(), textured_images(5)
    expected = epochs(training_loader(source, target, sampling="balanced"), 3)
    stopped = training_loader(source, target, sampling="balanced", num_workers=num_workers)
    first = list(stopped) + list(itertools.islice(stopped, 3))
    resumed = training_loader(source, target, sampling="balanced", num_workers=num_workers)
    resumed.load_state_dict(stopped.state_dict())
    assert_equal_batches(first + list(itertools.islice(resumed, 2)) + list(resumed), expected)


def test_the_one_image_of_a_class_looks_different_every_time_that_it_is_drawn():
    batches = epochs(training_loader(imbalanced_images(), textured_images(5), sampling="balanced"), 2)
    lonely = [batch.source.inputs[batch.source.labels == 2] for batch in batches]
    views = {bytes(image.numpy().tobytes()) for images in lonely for image in images}
    assert len(views) > 5


def test_images_of_a_balanced_batch_keep_their_labels():
    images = numbered_images(9)
    for batch in epochs(training_loader(images, images, view="plain", sampling="balanced"), 2):
        assert torch.equal(batch.source.inputs[:, 0, 0, 0] % 4, batch.source.labels)
