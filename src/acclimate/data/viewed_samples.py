"""Samples in the views of training, which are random or fixed."""

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
    """Samples in one or more views.

    Args:
        samples: N samples.
        views: Views of each sample, at least one.
        seed: Seed of random views.
        num_fixed: Number of draws of a sample after which its views repeat, at least 1; None: they never repeat.
    """

    def __init__(self, samples: Samples, views: Sequence[View], seed: int, num_fixed: int | None = None) -> None:
        self.samples = samples
        self.views = views
        self.seed = seed
        self.num_fixed = num_fixed
        self.labels = samples.labels
        self.domains = samples.domains
        # Precomputed features of each view, in the order of `FixedView`, which replace the inputs.
        self.features: list[Tensor] = []

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def has_end(self) -> bool:
        """True if the views of each sample repeat."""
        return self.num_fixed is not None or not any(view.random for view in self.views)

    @property
    def is_at_hand(self) -> bool:
        """True if samples are only copied, because no view has to be computed."""
        return bool(self.features) or (self.samples.is_at_hand and not any(view.random for view in self.views))

    def look(self, draws: Sequence[Draw], drawn: Tensor | None = None) -> list[Inputs]:
        """Return the drawn inputs in each view, or their features.

        Args:
            draws: The draws of a batch.
            drawn: The samples of these draws, int64, shape (N,), if they are already in a tensor.
        """
        if self.features:
            rows = torch.tensor([draw.sample for draw in draws]) if drawn is None else drawn
            if self.num_fixed is not None:
                rows = rows + len(self) * torch.tensor([self._turn(draw.epoch) for draw in draws])
            # A view that is not random has only one turn.
            return [Features(features.index_select(0, rows % len(features))) for features in self.features]
        loaded = self.samples.load([draw.sample for draw in draws])
        return [
            view.look(loaded, [self.seed_of(draw.sample, draw.epoch, place) for draw in draws] if view.random else [])
            for place, view in enumerate(self.views)
        ]

    def seed_of(self, sample: int, epoch: int, place: int) -> int:
        """Return the seed of a sample's view, given by its index, after `epoch` earlier draws."""
        return seed_for(self.seed, self._turn(epoch), sample, place)

    def _turn(self, epoch: int) -> int:
        return epoch if self.num_fixed is None else epoch % self.num_fixed


class FixedView(Dataset[Unlabelled]):
    """All samples in all turns of one view: all in the first turn, then all in the second, and so on.

    Args:
        seen: The samples, with a number of fixed views unless the view is not random.
        place: Index of the view.
        batch_size: Samples per batch, except for the last one.
    """

    def __init__(self, seen: ViewedSamples, place: int, batch_size: int) -> None:
        self.seen = seen
        self.place = place
        self.view = seen.views[place]
        self.batch_size = batch_size
        turns = seen.num_fixed if self.view.random else 1
        if turns is None:
            raise ValueError("a random view without a number of fixed views has no end")
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
