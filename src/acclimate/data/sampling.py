"""Sampling of training batches."""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from acclimate.seeds import seed_for


class Draw(NamedTuple):
    """A sample of a batch, and the number of times that it was drawn before."""

    sample: int
    epoch: int


class Stream(Protocol):
    """An endless sequence of samples, cut into batches."""

    def batch(self, number: int) -> list[Draw]:
        """Return the samples of batch `number`, counted from 0, which depend only on the number."""


class SampleStream:
    """An endless sequence of samples: consecutive seeded permutations, divided into batches.

    Batch i is a function of (seed, i), so a run can start anywhere. A batch may span two permutations, so every sample
    is drawn once before any is drawn again, whatever the sizes of the set and of the batch.

    Args:
        num_samples: Number of samples, at least 1.
        batch_size: Samples per batch, at least 1.
        seed: Seed of the order.
    """

    def __init__(self, num_samples: int, batch_size: int, seed: int) -> None:
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.seed = seed
        self._permutations: dict[int, list[int]] = {}

    def batch(self, number: int) -> list[Draw]:
        position, end = number * self.batch_size, (number + 1) * self.batch_size
        draws: list[Draw] = []
        while position < end:
            epoch, place = divmod(position, self.num_samples)
            samples = self._permutation(epoch)[place : place + end - position]
            draws += [Draw(sample, epoch) for sample in samples]
            position += len(samples)
        return draws

    def _permutation(self, epoch: int) -> list[int]:
        if epoch not in self._permutations:
            generator = torch.Generator().manual_seed(seed_for(self.seed, epoch))
            # A batch spans few permutations, so only the last ones can be needed again.
            if len(self._permutations) > 2 + self.batch_size // self.num_samples:
                self._permutations.clear()
            self._permutations[epoch] = torch.randperm(self.num_samples, generator=generator).tolist()
        return self._permutations[epoch]


class BalancedStream:
    """An endless sequence of samples in which all classes are equally frequent, divided into batches.

    Class-balanced sampling, as in Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition",
    ICLR 2020, but with deterministic counts: in every batch, the numbers of samples of two classes differ by at most one.
    Batch i is a function of (seed, i), and every sample of a class is drawn once before any is drawn again.

    Args:
        labels: The class of each sample, shape (N,), N at least 1. Classes without samples are ignored.
        batch_size: Samples per batch, at least 1.
        seed: Seed of the order.
        within: Classes that are equally frequent within each class of `labels`, such as the classes of each domain; None: none.
    """

    def __init__(self, labels: Tensor, batch_size: int, seed: int, *, within: Tensor | None = None) -> None:
        self.batch_size = batch_size
        classes = sorted(set(labels.tolist()))
        self._members = [(labels == label).nonzero().flatten().tolist() for label in classes]
        seeds = [seed_for(seed, "class", label) for label in classes]
        self._draws: list[Stream] = [
            SampleStream(len(members), 1, own) if within is None else BalancedStream(within[members], 1, own)
            for members, own in zip(self._members, seeds, strict=True)
        ]
        self._orders = SampleStream(len(classes), len(classes), seed_for(seed, "classes"))
        # The classes take turns. Their order changes only where a batch and a turn end together: elsewhere, a new order could
        # put a class twice into a batch in which another one is missing.
        self._positions_per_order = math.lcm(batch_size, len(classes))

    def batch(self, number: int) -> list[Draw]:
        start = number * self.batch_size
        order = self._orders.batch(start // self._positions_per_order)
        turns = [divmod(position, len(order)) for position in range(start, start + self.batch_size)]
        return [self._draw(order[place].sample, turn) for turn, place in turns]

    def _draw(self, group: int, turn: int) -> Draw:
        """Return the sample of a class, given by its index among those with samples, in the given turn."""
        ((place, epoch),) = self._draws[group].batch(turn)
        return Draw(self._members[group][place], epoch)
