import pytest
import torch

from acclimate.nn.backbones import timm_backbone


# Of these, MobileNetV3 has a hidden layer behind the pooling.
@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t", "tf_efficientnet_lite0"])
def test_a_backbone_of_timm_has_as_many_features_as_it_says(name):
    backbone = timm_backbone(None, name=name).eval()
    with torch.inference_mode():
        features = backbone(torch.zeros(1, 3, 64, 64))
    assert features.shape == (1, backbone.num_features)
