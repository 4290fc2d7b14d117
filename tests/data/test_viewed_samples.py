import pytest
import torch

from acclimate.data.images.image_arrays import ImageArrays
from acclimate.data.images.views import ImageView
from acclimate.data.sampling import Draw
from acclimate.data.viewed_samples import FixedView, ViewedSamples

SIZE, NUM_IMAGES = 16, 5


def seen(*names, seed=1, num_fixed=None):
    pixels = torch.randint(0, 256, (NUM_IMAGES, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = ImageArrays(pixels, torch.arange(NUM_IMAGES))
    return ViewedSamples(images, [ImageView(name, image_size=SIZE) for name in names], seed, num_fixed)


def all_at(images, epoch):
    return images.look([Draw(sample, epoch) for sample in range(NUM_IMAGES)])


def test_a_few_views_come_back_in_turn():
    images = seen("crop_flip", "crop_flip", num_fixed=2)
    first, second, third = (all_at(images, epoch) for epoch in range(3))
    for view, other, again in zip(first, second, third, strict=True):
        assert torch.equal(view, again)
        assert not torch.equal(view, other)
    assert not torch.equal(*first)


def test_views_without_number_never_come_back():
    images = seen("crop_flip")
    views = [all_at(images, epoch)[0] for epoch in range(4)]
    assert not any(torch.equal(view, other) for place, view in enumerate(views) for other in views[:place])


@pytest.mark.parametrize(
    ("names", "num_fixed", "has_end"), [(["plain"], None, True), (["plain", "shift"], None, False), (["shift"], 1, True)]
)
def test_features_can_be_kept_of_what_has_an_end(names, num_fixed, has_end):
    assert seen(*names, num_fixed=num_fixed).has_end == has_end


def test_a_view_as_a_whole_has_every_image_in_every_turn():
    images = seen("plain", "crop_flip", num_fixed=3)
    for place, turns in ((0, 1), (1, 3)):
        batches = FixedView(images, place, batch_size=4)
        found = torch.cat([batches[number].views[0] for number in range(len(batches))])
        assert torch.equal(found, torch.cat([all_at(images, epoch)[place] for epoch in range(turns)]))
    for number in (-1, len(batches)):
        with pytest.raises(IndexError):
            batches[number]


def test_a_view_without_end_has_no_whole():
    with pytest.raises(ValueError, match="no end"):
        FixedView(seen("plain", "shift"), 1, batch_size=4)


def test_features_stand_for_the_views_that_they_were_made_of():
    images = seen("plain", "shift", num_fixed=3)
    draws = [Draw(4, 0), Draw(0, 1), Draw(2, 5), Draw(1, 3)]
    views = images.look(draws)
    images.features = [
        torch.cat([batch.views[0].flatten(1) for batch in map(FixedView(images, place, 4).__getitem__, range(turns))])
        for place, turns in ((0, 2), (1, 4))
    ]
    for view, features in zip(views, images.look(draws), strict=True):
        assert torch.equal(view.flatten(1), features.values)


@pytest.mark.parametrize(("names", "features", "at_hand"), [(["plain"], 0, True), (["shift"], 0, False), (["shift"], 1, True)])
def test_only_what_is_copied_is_at_hand(names, features, at_hand):
    images = seen(*names, num_fixed=2)
    images.features = [torch.zeros(2 * NUM_IMAGES, 3)] * features
    assert images.is_at_hand == at_hand
