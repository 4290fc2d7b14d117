"""The domain discriminator."""

from torch import nn


class DomainDiscriminator(nn.Sequential):
    """A perceptron with two hidden layers that gives one logit per sample; positive means source.

    The architecture follows Ganin et al., JMLR 2016, section 5.2.2 (x → 1024 → 1024 → 2), with one logit for the two
    classes.

    Args:
        num_features: Width of the input, shape (N, num_features); the output has shape (N, 1).
        width: Width of the hidden layers.
    """

    def __init__(self, num_features: int, *, width: int = 256) -> None:
        super().__init__(
            nn.Linear(num_features, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        )
