"""Strong changes of photographs beside RandAugment, next to torchvision's."""

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from acclimate.data.images.photometric import (
    BLUR_PROBABILITY,
    GREYSCALE_PROBABILITY,
    JITTER_PROBABILITY,
    Change,
    apply_changes,
    draw_change,
)
from acclimate.data.images.views import ImageView

# Away from black and white, where torchvision would clip between two changes.
IMAGE = torch.randint(90, 150, (3, 40, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def changed(**values):
    return apply_changes(IMAGE[None], [Change(**values)])[0]


def assert_within_one(found, expected):
    assert (found.int() - expected.int()).abs().max() <= 1


def test_nothing_changes_nothing():
    assert torch.equal(changed(), IMAGE)


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_brightness_contrast_and_saturation_are_those_of_torchvision(factor):
    assert_within_one(changed(brightness=factor), F.adjust_brightness(IMAGE, factor))
    assert_within_one(changed(contrast=factor), F.adjust_contrast(IMAGE, factor))
    assert_within_one(changed(saturation=factor), F.adjust_saturation(IMAGE, factor))


def test_no_saturation_is_greyscale():
    assert_within_one(changed(saturation=0.0), F.rgb_to_grayscale(IMAGE, num_output_channels=3))


def test_brightness_goes_before_contrast():
    expected = F.adjust_contrast(F.adjust_brightness(IMAGE, 1.3), 0.7)
    # Torchvision cuts digits off twice.
    assert (changed(brightness=1.3, contrast=0.7).int() - expected.int()).abs().max() <= 2


def test_hue_turns_around_grey():
    grey = IMAGE[:1].expand(3, -1, -1)
    assert_within_one(apply_changes(grey[None], [Change(hue=0.1)])[0], grey)
    assert_within_one(changed(hue=1.0), IMAGE)
    # A third of a turn makes red green, green blue and blue red, but for the luma, which stays.
    third = changed(hue=1 / 3).float() - IMAGE.roll(1, 0)
    assert (third - third.mean(dim=0)).abs().max() <= 1


def test_small_turns_of_hue_are_near_those_of_torchvision():
    """Not equal, as the circle of hues is not the hexagon of HSV; far nearer than to the image as it was."""
    expected = F.adjust_hue(IMAGE, 0.1).float()
    assert (changed(hue=0.1) - expected).square().mean() < 0.3 * (IMAGE - expected).square().mean()


@pytest.mark.parametrize("sigma", [0.3, 0.6])
def test_blur_is_that_of_torchvision(sigma):
    assert_within_one(changed(sigma=sigma), F.gaussian_blur(IMAGE, kernel_size=5, sigma=sigma))


def test_cutout_hides_a_square_of_the_drawn_side_wherever_its_centre_is():
    hidden = (changed(cutout=(0.5, 0.5, 0.5)) == 127).all(dim=0)
    assert hidden[10:30, 14:34].all()
    assert hidden.sum() <= 20 * 20 + 3
    corner = (changed(cutout=(0.5, 0.0, 1.0)) == 127).all(dim=0)
    assert corner[:10, -10:].all()


def test_changes_are_as_frequent_as_published():
    torch.manual_seed(0)
    changes = [draw_change() for _ in range(2000)]
    shares = {
        "jitter": (sum(change.brightness != 1 for change in changes), JITTER_PROBABILITY),
        "greyscale": (sum(change.saturation == 0 for change in changes), GREYSCALE_PROBABILITY),
        "blur": (sum(change.sigma > 0 for change in changes), BLUR_PROBABILITY),
    }
    for found, expected in shares.values():
        assert found / 2000 == pytest.approx(expected, abs=0.04)
    assert all(0.6 <= change.brightness <= 1.4 and 0.6 <= change.contrast <= 1.4 and abs(change.hue) <= 0.1 for change in changes)
    assert max(change.cutout[0] for change in changes) == pytest.approx(0.5, abs=0.01)


def test_strong_views_of_photographs_have_them_and_those_of_digits_do_not():
    """The colours of a picture in pure red: RandAugment alone keeps green and blue equal."""
    red = torch.zeros(200, 3, 32, 32, dtype=torch.uint8)
    red[:, 0] = 200
    for name, expected in (("strong", False), ("strong_crop_flip", True)):
        views = ImageView(name, image_size=32).look(red, range(200)).int()
        assert bool(((views[:, 1] - views[:, 2]).abs() > 5).any()) == expected
        grey_squares = ((views - 127).abs().amax(dim=1) == 0).float().mean(dim=(1, 2))
        assert bool((grey_squares > 0.05).float().mean() > 0.3) == expected


def test_images_of_one_pixel_are_no_exception():
    torch.manual_seed(0)
    images = torch.full((20, 3, 1, 1), 200, dtype=torch.uint8)
    assert apply_changes(images, [draw_change() for _ in images]).shape == images.shape
