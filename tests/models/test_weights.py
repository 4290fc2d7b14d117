"""Weights from files for images of other channels, and weights that cannot be had."""

import pytest
import torch

from acclimate.errors import ConfigError
from acclimate.inputs import ImageSpec
from acclimate.models.backbones.small_cnn import small_cnn
from acclimate.models.weights import explain_missing_download, load_weights


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


@pytest.mark.parametrize(("error", "reason"), [(TimeoutError(), "TimeoutError"), (OSError("No route.\nTry again."), "No route")])
def test_a_failed_download_is_explained_even_if_its_error_says_nothing(error, reason):
    with (
        pytest.raises(ConfigError, match=rf"^Could not get the weights: {reason}\. Without a connection"),
        explain_missing_download("the weights"),
    ):
        raise error
