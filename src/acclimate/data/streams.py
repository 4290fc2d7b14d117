"""Which samples make up which batch."""

from typing import NamedTuple

import torch

from acclimate.seeds import seed_for


class Draw(NamedTuple):
    """One sample of a batch, and how often the stream had gone through all samples before."""

    sample: int
    epoch: int


class SampleStream:
    """An endless sequence of samples: one seeded permutation after the other, cut into batches.

    Batch i is a function of (seed, i), so a run can start anywhere. A batch may span two permutations, so every sample
    is drawn once before any is drawn again, however small the set or large the batch.

    Args:
        num_samples: At least 1.
        batch_size: At least 1.
        seed: Another seed gives another order.
    """

    def __init__(self, num_samples: int, batch_size: int, seed: int) -> None:
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.seed = seed
        self._permutations: dict[int, list[int]] = {}

    def batch(self, number: int) -> list[Draw]:
        """The samples of batch `number`, counted from 0."""
        start = number * self.batch_size
        return [self._draw(position) for position in range(start, start + self.batch_size)]

    def _draw(self, position: int) -> Draw:
        epoch, place = divmod(position, self.num_samples)
        if epoch not in self._permutations:
            generator = torch.Generator().manual_seed(seed_for(self.seed, epoch))
            # A batch spans few permutations: only the last ones can be needed again.
            if len(self._permutations) > 2 + self.batch_size // self.num_samples:
                self._permutations.clear()
            self._permutations[epoch] = torch.randperm(self.num_samples, generator=generator).tolist()
        return Draw(self._permutations[epoch][place], epoch)
