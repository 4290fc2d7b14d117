import pytest
import torch
from torch import nn

from acclimate.errors import ConfigError
from acclimate.inputs import ImageSpec
from acclimate.models.backbones.image import ImageBackbone
from acclimate.models.backbones.pretrained import timm_backbone


# Of these, MobileNetV3 has a hidden layer behind the pooling.
@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "tf_efficientnet_lite0"])
def test_a_backbone_of_timm_has_as_many_features_as_it_says(name):
    backbone = timm_backbone(None, name=name).eval()
    with torch.inference_mode():
        features = backbone(torch.zeros(1, 3, 64, 64))
    assert features.shape == (1, backbone.num_features)


def valid_cnn(image_size, wanted=None):
    """Features of images from 14 × 14 pixels on: 14 - 4 = 10, 10 // 2 = 5, 5 - 4 = 1."""
    layers = [nn.Conv2d(3, 4, 5), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Conv2d(4, 4, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return ImageBackbone(nn.Sequential(*layers), num_features=4, image_size=image_size, inputs=ImageSpec(wanted))


@pytest.mark.parametrize("image_size", [None, 14, 32, 1_000_000])
def test_sizes_that_leave_something_to_look_at_are_taken(image_size):
    assert valid_cnn(32, image_size).inputs.size == (image_size or 32)


def test_a_size_that_leaves_nothing_is_refused_with_the_smallest_that_works():
    for image_size in (8, 13):
        with pytest.raises(ConfigError, match=rf"data\.image_size={image_size} .* works is data\.image_size=14\.$"):
            valid_cnn(32, image_size)
    with pytest.raises(ConfigError, match=r"works is data\.image_size=10\.$"):
        valid_cnn(10, 9)


def test_trying_a_size_changes_no_statistics():
    backbone = valid_cnn(32, 20)
    assert backbone.training
    assert all(not value.any() for name, value in backbone.state_dict().items() if "running_mean" in name or "num_batches" in name)


def windowed(image_size, wanted):
    """Take multiples of 8 pixels only."""

    class Windows(nn.Module):
        def forward(self, images):
            assert images.shape[-1] % 8 == 0
            return images.mean((2, 3))

    return ImageBackbone(Windows(), num_features=3, image_size=image_size, inputs=ImageSpec(wanted))


def test_the_nearest_size_towards_what_the_model_was_made_for_is_advised():
    for image_size, advised in [(17, 24), (31, 32), (33, 32), (47, 40)]:
        with pytest.raises(ConfigError, match=rf"works is data\.image_size={advised}\.$"):
            windowed(32, image_size)
        windowed(32, advised)


@pytest.mark.parametrize("verb", ["train", "rank"])
def test_the_command_answers_sizes_that_the_model_cannot_take(archives, acclimate, verb):
    model = ("model=timm", "model.backbone.name=test_convnext", "model.weights=null")
    code, message = acclimate(verb, *archives, *model, "data.image_size=16")
    assert code == 2
    assert "data.image_size=16 is not a size of images that the model accepts: it was made for 160 pixels." in message
    assert "The nearest size that works is data.image_size=32." in message
    # And the advice works.
    if verb == "rank":
        assert acclimate(verb, *archives, *model, "data.image_size=32") == (0, "")
