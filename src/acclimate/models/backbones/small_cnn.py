"""A small convolutional network that trains in seconds."""

from itertools import pairwise

from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.inputs import ANY_SIZE, ImageSpec, refuse_other_inputs
from acclimate.models.backbones.image import ImageBackbone
from acclimate.ranges import Count


def small_cnn(weights: None = None, *, inputs: ImageSpec = ANY_SIZE, width: Count = 32, kernel_size: Count = 3) -> ImageBackbone:
    """Build three convolutional layers for images of 32 × 32 pixels, with 16 · 4 · width features, to train from scratch.

    Args:
        weights: There are none to download; `Classifier` loads weights from files.
        inputs: Specification of the images.
        width: Channels of the first layer; the second has twice and the third four times as many.
        kernel_size: Height and width of all filters, odd.

    Raises:
        ConfigError: If the kernel size is even, or named weights are requested.
    """
    refuse_other_inputs(inputs, ImageSpec, "small_cnn")
    if weights is not None:
        raise ConfigError(
            f"model.weights={weights} is neither null nor a file, and small_cnn has no weights to download. Use model.weights=null."
        )
    if kernel_size % 2 == 0:
        raise ConfigError(f"model.backbone.kernel_size must be odd, such as 3 or 5, but is {kernel_size}.")
    channels = [inputs.channels, width, 2 * width, 4 * width]
    layers: list[nn.Module] = []
    for num_in, num_out in pairwise(channels):
        convolution = nn.Conv2d(num_in, num_out, kernel_size, padding=kernel_size // 2, bias=False)
        # Pooling before the ReLU gives the same result and leaves a quarter of its work.
        layers += [convolution, nn.BatchNorm2d(num_out), nn.MaxPool2d(2), nn.ReLU()]
    # Images of other sizes are also reduced to a 4 × 4 map.
    body = nn.Sequential(*layers, _PoolToFour(4), nn.Flatten())
    return ImageBackbone(body, num_features=16 * channels[-1], image_size=32, inputs=inputs, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class _PoolToFour(nn.AdaptiveMaxPool2d):
    """Pooling to 4 × 4 that skips maps of that size, because its gradient is not deterministic on GPUs."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps if maps.shape[-2:] == (4, 4) else super().forward(maps)
