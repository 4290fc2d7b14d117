"""Weights from files for images of other channels."""

import pytest
import torch

from acclimate.errors import ConfigError
from acclimate.inputs import ImageSpec
from acclimate.models.backbones.small_cnn import small_cnn
from acclimate.models.weights import load_weights


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_weights_for_rgb_are_adapted_to_other_channels(tmp_path, channels):
    torch.save(small_cnn(width=4).body.state_dict(), tmp_path / "weights.pth")
    body = small_cnn(width=4, inputs=ImageSpec(None, channels)).body
    load_weights(body, tmp_path / "weights.pth")
    rgb = torch.load(tmp_path / "weights.pth")["0.weight"]
    # Equal channels give the same output as before, where there are whole turns of the three.
    if channels != 4:
        torch.testing.assert_close(body.state_dict()["0.weight"].sum(dim=1), rgb.sum(dim=1))


def test_weights_for_other_channels_are_refused_with_the_key(tmp_path):
    torch.save(small_cnn(width=4, inputs=ImageSpec(None, 5)).body.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"is for images of 5 channels, but these have 3\. Type data\.channels=5\."):
        load_weights(small_cnn(width=4).body, tmp_path / "weights.pth")
