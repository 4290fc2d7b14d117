"""Samples as training sees them: each in one or more views, which are new each time or one of a few."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from acclimate.data.kind import View
from acclimate.data.samples import Samples
from acclimate.data.sampling import Draw
from acclimate.inputs import Features, Inputs
from acclimate.seeds import seed_for
from acclimate.types import Unlabelled


class ViewedSamples:
    """Samples in one or more views, as a stream draws them.

    Args:
        samples: N of them.
        views: How each sample is seen at once, at least one view.
        seed: Governs what is random in the views.
        num_fixed: After so many draws of a sample its views repeat, at least 1; None draws new ones without end.
    """

    def __init__(self, samples: Samples, views: Sequence[View], seed: int, num_fixed: int | None = None) -> None:
        self.samples = samples
        self.views = views
        self.seed = seed
        self.num_fixed = num_fixed
        self.labels = samples.labels
        # In the place of each view, if it is known: the features of `FixedView`, whose order they have.
        self.features: list[Tensor] = []

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def has_end(self) -> bool:
        """Whether the views of each sample repeat."""
        return self.num_fixed is not None or not any(view.random for view in self.views)

    @property
    def is_at_hand(self) -> bool:
        """Whether to look is only to copy."""
        return bool(self.features) or (self.samples.is_at_hand and not any(view.random for view in self.views))

    def look(self, draws: Sequence[Draw]) -> list[Inputs]:
        """Return the drawn inputs in each view, or their features."""
        if self.features:
            rows = torch.tensor([draw.sample for draw in draws])
            if self.num_fixed is not None:
                rows += len(self) * torch.tensor([self._turn(draw.epoch) for draw in draws])
            # Of a view that is not random there is one turn.
            return [Features(features.index_select(0, rows % len(features))) for features in self.features]
        loaded = self.samples.load([draw.sample for draw in draws])
        return [
            view.look(loaded, [self.seed_of(draw.sample, draw.epoch, place) for draw in draws] if view.random else [])
            for place, view in enumerate(self.views)
        ]

    def seed_of(self, sample: int, epoch: int, place: int) -> int:
        """Of the view in a place, when the sample was drawn `epoch` times before."""
        return seed_for(self.seed, self._turn(epoch), sample, place)

    def _turn(self, epoch: int) -> int:
        return epoch if self.num_fixed is None else epoch % self.num_fixed


class FixedView(Dataset[Unlabelled]):
    """All that there is to see of samples in one of their views: all in the first turn, then in the second, and so on.

    Args:
        seen: With a number of fixed views, unless the view is not random.
        place: Of the view.
        batch_size: Samples in each batch but the last.
    """

    def __init__(self, seen: ViewedSamples, place: int, batch_size: int) -> None:
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
        return Unlabelled([self.view.look(self.seen.samples.load(samples), seeds)])
