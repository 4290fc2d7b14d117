import pytest
import torch
from torchvision.transforms import v2

from acclimate.data.images import photometric
from acclimate.data.images.views import ImageView, TransformView
from acclimate.errors import ConfigError

RANDOM_VIEWS = ["shift", "crop_flip", "strong", "strong_crop_flip"]


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", RANDOM_VIEWS)
def test_a_random_view_depends_on_nothing_but_the_image_and_its_seed(name):
    view, images = ImageView(name, image_size=16), noise(3, 3, 20, 20)
    torch.manual_seed(0)
    together = view.look(images, [7, 8, 9])
    torch.manual_seed(1)
    assert torch.equal(view.look(images[1:2], [8])[0], together[1])
    assert torch.equal(ImageView(name, image_size=16).look(images.flip(0), [9, 8, 7]).flip(0), together)


def views_of_torchvision(name, images, seeds, *, image_size):
    """The transforms of torchvision, one image after the other."""
    shift = [v2.Resize(image_size), v2.CenterCrop(image_size), v2.Pad(image_size // 8, padding_mode="edge"), v2.RandomCrop(image_size)]
    crop_flip = [v2.RandomResizedCrop(image_size, scale=(0.25, 1.0)), v2.RandomHorizontalFlip()]
    strong = v2.RandAugment(num_ops=2, magnitude=10)
    steps = {"shift": shift, "crop_flip": crop_flip, "strong": [*shift, strong], "strong_crop_flip": [*crop_flip, strong]}
    views = []
    with torch.random.fork_rng():
        for image, seed in zip(images, seeds, strict=True):
            torch.manual_seed(seed)
            view = v2.Compose(steps[name])(image)
            # What follows is compared with torchvision in test_photometric.
            views.append(photometric.apply_changes(view[None], [photometric.draw_change()])[0] if name == "strong_crop_flip" else view)
    return torch.stack(views)


@pytest.mark.parametrize("name", RANDOM_VIEWS)
@pytest.mark.parametrize("sizes", [[(24, 24)] * 200, [(20 + number % 7, 31) for number in range(200)]], ids=["one size", "all sizes"])
def test_views_of_a_batch_are_those_that_torchvision_gives_of_one_image_after_the_other(name, sizes):
    images = [noise(3, *size, seed=number) for number, size in enumerate(sizes)]
    batch = torch.stack(images) if len(set(sizes)) == 1 else images
    views = ImageView(name, image_size=16).look(batch, range(len(images)))
    differences = (views.int() - views_of_torchvision(name, images, range(len(images)), image_size=16).int()).abs()
    # Torchvision rounds its factors to fewer digits, which can move a pixel by one; what follows may make more of it.
    assert (differences > 1).float().mean() < (1e-3 if name.startswith("strong") else 1e-9)


@pytest.mark.parametrize("name", RANDOM_VIEWS)
def test_other_seeds_give_other_views(name):
    images = noise(1, 3, 20, 20).expand(8, -1, -1, -1)
    views = ImageView(name, image_size=16).look(images, range(8))
    assert len({bytes(view.numpy().tobytes()) for view in views}) > 4


@pytest.mark.parametrize("name", ["plain", *RANDOM_VIEWS])
def test_views_leave_the_global_random_state_alone(name):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    ImageView(name, image_size=16).look(noise(2, 3, 20, 20), [1, 2])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["plain", *RANDOM_VIEWS])
def test_images_of_all_sizes_become_uint8_of_the_size_of_the_model(name):
    images = [noise(3, 9, 31), noise(3, 40, 12), noise(3, 1, 1), noise(3, 16, 16)]
    views = ImageView(name, image_size=16, crop=0.875).look(images, range(4))
    assert views.shape == (4, 3, 16, 16)
    assert views.dtype == torch.uint8


def test_the_plain_view_of_an_image_of_the_right_size_is_the_image():
    images = noise(2, 3, 16, 16)
    assert torch.equal(ImageView("plain", image_size=16).look(images, []), images)


def test_the_plain_view_keeps_the_middle_of_the_longer_side():
    wide = torch.cat([torch.zeros(3, 16, 8), torch.full((3, 16, 16), 200), torch.zeros(3, 16, 8)], dim=2).to(torch.uint8)
    assert (ImageView("plain", image_size=16).look([wide], []) == 200).all()


def test_crop_cuts_the_given_share_of_the_shorter_side():
    framed = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    framed[..., 8:24, 8:24] = 200
    assert (ImageView("plain", image_size=16, crop=0.5).look(framed, []) == 200).all()
    assert (ImageView("plain", image_size=16, crop=1.0).look(framed, []) == 0).any()


def test_a_shift_moves_by_an_eighth_at_most_and_never_mirrors():
    ramp = (torch.arange(16) * 15).to(torch.uint8).expand(1, 3, 16, 16)
    views = ImageView("shift", image_size=16).look(ramp.expand(30, -1, -1, -1), range(30))
    moves = (views[:, 0, 8, 8].int() - ramp[0, 0, 8, 8].int()) // 15
    assert set(moves.tolist()) == {-2, -1, 0, 1, 2}
    assert (views[..., 1:].int() >= views[..., :-1].int()).all()


def test_crop_flip_mirrors_about_half_of_the_images():
    ramp = (torch.arange(16) * 15).to(torch.uint8).expand(200, 3, 16, 16)
    views = ImageView("crop_flip", image_size=16).look(ramp, range(200)).int()
    mirrored = (views[:, 0, 0, 0] > views[:, 0, 0, -1]).float().mean()
    assert 0.35 < mirrored < 0.65


@pytest.mark.parametrize(("name", "share"), [("strong", 0.0), ("strong_crop_flip", 0.5)])
def test_only_strong_views_of_photographs_are_mirrored(name, share):
    # Dark to bright from left to right; the few that are solarised change the order too.
    ramp = (torch.arange(32) * 5).to(torch.uint8).expand(200, 3, 32, 32)
    views = ImageView(name, image_size=32).look(ramp, range(200)).float()
    reversed_order = views[..., 8:24, 20:26].mean(dim=(1, 2, 3)) < views[..., 8:24, 6:12].mean(dim=(1, 2, 3))
    assert reversed_order.float().mean().item() == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize("name", ["plain", "crop_flip"])
def test_pixels_of_files_stay_in_the_layout_that_convolutions_want_and_others_are_the_same(name):
    files = [noise(21 + number, 30, 3, seed=number).permute(2, 0, 1) for number in range(4)]
    views = ImageView(name, image_size=16).look(files, range(4))
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(views, ImageView(name, image_size=16).look([image.contiguous() for image in files], range(4)))


JITTER = v2.Compose([v2.RandomCrop(16), v2.RandomApply([v2.ColorJitter(brightness=0.5)], p=0.5)])


def test_view_of_torchvision_is_its_transform_of_one_image_after_the_other():
    images, seeds = noise(6, 3, 20, 24), range(6)
    seen = TransformView(JITTER, image_size=16, crop=0.8).look(images, seeds)
    with torch.random.fork_rng():
        for image, seed, found in zip(images, seeds, seen, strict=True):
            torch.manual_seed(seed)
            assert torch.equal(found, JITTER(image))


@pytest.mark.parametrize("transform", [v2.Identity(), v2.RandomCrop(12), v2.Resize(40), v2.RandomRotation(20, expand=True)])
def test_view_of_torchvision_has_the_size_of_the_model(transform):
    images = [noise(3, 20 + number, 31) for number in range(3)]
    assert TransformView(transform, image_size=16).look(images, range(3)).shape == (3, 3, 16, 16)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (v2.ToDtype(torch.float32, scale=True), r"returns torch.float32 with 3 channels.*the model does so itself"),
        (v2.Grayscale(1), "returns torch.uint8 with 1 channels"),
        (v2.RandomCrop(64), "cannot be used on an image of 20 x 20 pixels"),
    ],
)
def test_view_of_torchvision_that_cannot_be_used_is_refused(transform, message):
    with pytest.raises(ConfigError, match=message):
        TransformView(transform, image_size=16, crop=0.8)


def test_view_of_torchvision_is_named_by_all_of_its_settings():
    """For a transform's text does not: features of another probability would be taken for those of this one."""
    names = {
        TransformView(v2.RandomApply([v2.ColorJitter(brightness=brightness)], p=p), image_size=16).name
        for brightness in (0.1, 0.2)
        for p in (0.1, 0.2)
    }
    assert len(names) == 4
