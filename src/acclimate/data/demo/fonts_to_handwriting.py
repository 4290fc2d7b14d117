"""The default data: from rendered digits to handwritten ones, without a download."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge
from sklearn.datasets import load_digits
from torch.nn import functional as F

from acclimate.data.demo.digit_fonts import render_digits
from acclimate.data.domains import Domains, Parts
from acclimate.data.images.image_arrays import ImageArrays
from acclimate.data.images.image_data import ImageData
from acclimate.data.splitting import split
from acclimate.errors import ConfigError, DataError
from acclimate.ranges import OpenShare

IMAGE_SIZE = 32
NUM_CHANNELS = 3
DIGITS = [str(digit) for digit in range(10)]


class FontsToHandwriting(ImageData):
    """Simulation to reality: digits rendered from fonts as the source, the 1,797 handwritten digits of scikit-learn as the target.

    Args:
        num_source: Number of rendered images for training, at least 10.
        num_source_eval: Number of rendered images for validation, and of those for testing, at least 10.
        target_val_fraction: Share of the target for the selection of checkpoints, above 0.
        target_test_fraction: Share of the target for the final test, above 0.
        target_classes: Digits of the target, in all of its parts; None: all ten. The source and the model keep all of them:
            partial domain adaptation (Cao et al., "Partial Adversarial Domain Adaptation", ECCV 2018). Such a target can only be
            created with its labels; the division is the same as for all ten.
        split_seed: Seed of the division of the target and of the rendering, independent of the run's seed.
        **loading: Arguments of `ImageData`.

    Raises:
        ConfigError: If a number is out of its range, the images should not be in RGB, or the target's classes are not different digits.
    """

    def __init__(
        self,
        *,
        num_source: Annotated[int, Ge(10)] = 16_000,
        num_source_eval: Annotated[int, Ge(10)] = 1_000,
        target_val_fraction: OpenShare = 0.2,
        target_test_fraction: OpenShare = 0.3,
        target_classes: Sequence[int] | None = None,
        split_seed: int = 0,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        if self.pixels.channels != NUM_CHANNELS:
            raise ConfigError(f"data.channels={self.pixels.channels}, but the digits are in RGB. Type data.channels={NUM_CHANNELS}.")
        if min(target_val_fraction, target_test_fraction) <= 0 or target_val_fraction + target_test_fraction >= 1:
            raise ConfigError("data.target_val_fraction and data.target_test_fraction must be above 0 with a sum below 1.")
        digits = list(range(10) if target_classes is None else target_classes)
        if not digits or len(set(digits)) < len(digits) or not set(digits) <= set(range(10)):
            raise ConfigError(
                f"data.target_classes must name at least one digit from 0 to 9, each once, such as [0,1,2], but is {digits}. "
                "Set it to null for all ten."
            )
        self.num_source = num_source
        self.num_source_eval = num_source_eval
        self.target_fractions = (target_val_fraction, target_test_fraction)
        self.target_classes = digits
        self.split_seed = split_seed

    def read(self) -> Domains:
        rendered = ImageArrays(*render_digits(self.num_source + 2 * self.num_source_eval, IMAGE_SIZE, self.split_seed))
        val_start, test_start = self.num_source, self.num_source + self.num_source_eval
        source = Parts(
            train=rendered.take(range(val_start)),
            val=rendered.take(range(val_start, test_start)),
            test=rendered.take(range(test_start, len(rendered))),
        )
        return Domains(DIGITS, source, self.read_target(DIGITS))

    def read_target(self, classes: list[str]) -> Parts:
        if classes != DIGITS:
            raise DataError(f"The handwritten digits have the classes {', '.join(DIGITS)}, but the model knows {', '.join(classes)}.")
        handwritten = read_handwritten_digits()
        parts = split(handwritten.digests(), None, fractions=self.target_fractions, seed=self.split_seed, what="The handwritten digits")
        # Other digits are removed after the division, so that it does not change.
        assert handwritten.labels is not None
        kept = torch.isin(handwritten.labels, torch.tensor(self.target_classes)).tolist()
        return Parts(*(handwritten.take([index for index in indices if kept[index]]) for indices in parts))


def read_handwritten_digits() -> ImageArrays:
    """Read the test set of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998), enlarged from 8 × 8."""
    digits = load_digits()
    # The values of scikit-learn are counts of dark pixels from 0 to 16.
    small = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)
    images = F.interpolate(small, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
    return ImageArrays(images.round().to(torch.uint8), torch.from_numpy(digits.target).long())
