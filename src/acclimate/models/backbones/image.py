"""Feature extractors for images."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.inputs import ANY_SIZE, ImageSpec
from acclimate.models.backbones.backbone import Backbone
from acclimate.models.backbones.first_convolution import in_turn
from acclimate.models.modes import evaluation

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageBackbone(Backbone):
    """A network from images to features.

    Args:
        body: Network from (N, C, H, W) to (N, num_features).
        num_features: Width of the features.
        image_size: Height and width in pixels that the network was made for.
        inputs: Specification of the data's images, whose size takes precedence.
        mean: Mean of each colour, subtracted from images in [0, 1]; other channels take them in turn.
        std: Standard deviation of each colour, by which images are then divided.
        make_source_head: See `Backbone`.
        has_fixed_size: Whether the network accepts only images of `image_size`.

    Raises:
        ConfigError: If the network does not accept images of that size.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        *,
        num_features: int,
        image_size: int,
        inputs: ImageSpec = ANY_SIZE,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        make_source_head: Callable[[], nn.Linear] | None = None,
        has_fixed_size: bool = False,
    ) -> None:
        super().__init__(body, num_features=num_features, make_source_head=make_source_head)
        self.image_size = inputs.size or image_size
        self.register_buffer("mean", torch.tensor(in_turn(list(mean), inputs.channels)).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(in_turn(list(std), inputs.channels)).view(1, -1, 1, 1))
        if self.image_size != image_size:
            self._refuse_size(self.image_size, usual=image_size, is_fixed=has_fixed_size)

    @property
    def inputs(self) -> ImageSpec:
        return ImageSpec(self.image_size, self.mean.shape[1])

    def forward(self, images: Tensor) -> Tensor:
        """Compute features, shape (N, num_features), of images, uint8 or float in [0, 1], shape (N, C, H, W)."""
        if not images.is_floating_point():
            images = images.to(self.mean.dtype) / 255
        images = (images - self.mean) / self.std
        features: Tensor = self.body(images.contiguous(memory_format=torch.channels_last))
        return features

    def _refuse_size(self, size: int, *, usual: int, is_fixed: bool) -> None:
        """Check that the network accepts images of a size that it was not made for."""
        if is_fixed:
            raise ConfigError(f"The model accepts only images of {usual} pixels, but data.image_size is {size}. Leave the key out.")
        # A much larger image may not fit into memory, and models that accept any size accept it as well.
        if size > 2 * usual or self._takes_size(size):
            return
        between = range(size + 1, usual) if size < usual else range(size - 1, usual, -1)
        nearest = next((other for other in between if self._takes_size(other)), usual)
        raise ConfigError(
            f"data.image_size={size} is not a size of images that the model accepts: it was made for {usual} pixels. "
            f"The nearest size that works is data.image_size={nearest}."
        )

    def _takes_size(self, size: int) -> bool:
        """Return True if the network computes features of images of this size; in some networks, small images vanish."""
        try:
            with evaluation(self):
                self(torch.zeros(1, self.mean.shape[1], size, size, dtype=torch.uint8))
        except (RuntimeError, AssertionError, ValueError):
            # The last two come from models of timm that divide images into windows.
            return False
        return True
