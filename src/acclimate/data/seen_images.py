"""Images as training sees them: each in one or more views, which are new each time or one of a few."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from acclimate.data.domains import ImageSet
from acclimate.data.images.views import View
from acclimate.data.sampling import Draw
from acclimate.seeds import seed_for
from acclimate.types import Unlabelled


class SeenImages:
    """What training gets of images that a stream draws.

    Args:
        images: N of them.
        views: How each image is seen at once, at least one view.
        seed: Governs what is random in the views.
        num_fixed: After so many draws of an image its views repeat, at least 1; None draws new ones without end.
    """

    def __init__(self, images: ImageSet, views: Sequence[View], seed: int, num_fixed: int | None = None) -> None:
        self.images = images
        self.views = views
        self.seed = seed
        self.num_fixed = num_fixed
        self.labels = images.labels
        # In the place of each view, if it is known: the features of `FixedView`, whose order they have.
        self.features: list[Tensor] = []

    def __len__(self) -> int:
        return len(self.images)

    @property
    def has_end(self) -> bool:
        """Whether there are but so many views of each image."""
        return self.num_fixed is not None or not any(view.random for view in self.views)

    @property
    def is_at_hand(self) -> bool:
        """Whether to look is but to copy."""
        return bool(self.features) or (self.images.decoded and not any(view.random for view in self.views))

    def look(self, draws: Sequence[Draw]) -> list[Tensor]:
        """A tensor for each view, of shape (number of draws, 3, H, W), or (number of draws, D) of features."""
        if self.features:
            rows = torch.tensor([draw.sample for draw in draws])
            if self.num_fixed is not None:
                rows += len(self) * torch.tensor([self._turn(draw.epoch) for draw in draws])
            # Of a view that is not random there is one turn.
            return [features.index_select(0, rows % len(features)) for features in self.features]
        images = self.images.load([draw.sample for draw in draws])
        return [
            view.look(images, [self.seed_of(draw.sample, draw.epoch, place) for draw in draws] if view.random else [])
            for place, view in enumerate(self.views)
        ]

    def seed_of(self, sample: int, epoch: int, place: int) -> int:
        """Of the view in a place, when the sample was drawn `epoch` times before."""
        return seed_for(self.seed, self._turn(epoch), sample, place)

    def _turn(self, epoch: int) -> int:
        return epoch if self.num_fixed is None else epoch % self.num_fixed


class FixedView(Dataset[Unlabelled]):
    """All that there is to see of images in one of their views: all images in the first turn, then in the second, and so on.

    Args:
        seen: With a number of fixed views, unless the view is not random.
        place: Of the view.
        batch_size: Images in each batch but the last.
    """

    def __init__(self, seen: SeenImages, place: int, batch_size: int) -> None:
        self.seen = seen
        self.place = place
        self.view = seen.views[place]
        self.batch_size = batch_size
        turns = seen.num_fixed if self.view.random else 1
        if turns is None:
            raise ValueError("a random view whose turns have no end cannot be seen as a whole")
        self.num_rows = turns * len(seen)

    def __len__(self) -> int:
        return -(-self.num_rows // self.batch_size)

    def __getitem__(self, number: int) -> Unlabelled:
        if not 0 <= number < len(self):
            raise IndexError(number)
        rows = range(number * self.batch_size, min((number + 1) * self.batch_size, self.num_rows))
        samples = [row % len(self.seen) for row in rows]
        seeds = [self.seen.seed_of(sample, row // len(self.seen), self.place) for row, sample in zip(rows, samples, strict=True)]
        return Unlabelled([self.view.look(self.seen.images.load(samples), seeds)])
