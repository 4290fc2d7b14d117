"""Loaders of finished batches: a training loader that resumes where it stopped, and one for evaluation."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from acclimate.data.kind import View
from acclimate.data.samples import Samples, rows_of
from acclimate.data.sampling import BalancedStream, SampleStream, Stream
from acclimate.data.viewed_samples import ViewedSamples
from acclimate.inputs import Inputs, take
from acclimate.types import DomainBatch, Labelled, Unlabelled

Sampling = Literal["natural", "balanced"]

NO_LABELS = torch.empty(0, dtype=torch.int64)


def _unchanged(batch: Any) -> Any:
    return batch


def _side_by_side(batch: Any) -> Any:
    """Copy tensors whose elements share memory, such as grey images in three channels, which cannot be pinned."""
    # Imported here, because trained models are used without Lightning.
    from lightning_utilities.core.apply_func import apply_to_collection

    return apply_to_collection(batch, Tensor, lambda tensor: tensor.contiguous() if 0 in tensor.stride() else tensor)


def batch_loader(batches: Dataset[Any], *, num_workers: int, sampler: Any = None) -> DataLoader[Any]:
    """Build a loader over a data set whose items are whole batches."""
    pins = torch.cuda.is_available()
    return DataLoader(
        batches,
        batch_size=None,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=_side_by_side if pins else _unchanged,
        pin_memory=pins,
        persistent_workers=num_workers > 0,
        # Otherwise, every iterator draws from the global generator and changes later random numbers.
        generator=torch.Generator(),
    )


class Feed:
    """Training batches of one domain.

    Args:
        samples: The samples in their views.
        batch_size: Samples per batch.
        seed: Seed of the order.
        sampling: `natural` draws all samples equally often, `balanced` all classes, which needs labels.
        domain_sampling: `natural` draws as if all samples were from one domain, `balanced` from all domains equally often; within
            each, `sampling` applies.
    """

    def __init__(
        self,
        samples: ViewedSamples,
        batch_size: int,
        seed: int,
        sampling: Sampling = "natural",
        domain_sampling: Sampling = "natural",
    ) -> None:
        self.samples = samples
        # The batches of one pass over all samples.
        self.num_batches = -(-len(samples) // batch_size)
        self.stream: Stream
        labels = samples.labels if sampling == "balanced" else None
        if samples.domains is not None and domain_sampling == "balanced":
            self.stream = BalancedStream(samples.domains, batch_size, seed, within=labels)
        elif sampling == "balanced":
            assert labels is not None
            self.stream = BalancedStream(labels, batch_size, seed)
        else:
            self.stream = SampleStream(len(samples), batch_size, seed)

    def labelled(self, number: int) -> Labelled:
        """Return batch `number` in one or two views, with labels if the samples have any."""
        draws = self.stream.batch(number)
        drawn = torch.tensor([draw.sample for draw in draws])
        labels, domains = rows_of(self.samples.labels, drawn), rows_of(self.samples.domains, drawn)
        inputs, *second = self.samples.look(draws, drawn)
        return Labelled(inputs, NO_LABELS if labels is None else labels, second[0] if second else None, domains)

    def unlabelled(self, number: int) -> Unlabelled:
        """Return batch `number` in all views, without labels."""
        draws = self.stream.batch(number)
        drawn = torch.tensor([draw.sample for draw in draws])
        return Unlabelled(self.samples.look(draws, drawn), drawn, rows_of(self.samples.domains, drawn))


class TrainingBatches(Dataset[DomainBatch]):
    """Endless data set of training batches; one of the two domains may be missing.

    Args:
        source: Feed of the source.
        target: Feed of the target.
        target_labelled: Feed of the labelled target samples, if there are any.
    """

    def __init__(self, source: Feed | None, target: Feed | None, target_labelled: Feed | None = None) -> None:
        self.source = source
        self.target = target
        self.target_labelled = target_labelled

    def __getitem__(self, number: int) -> DomainBatch:
        target = None if self.target is None else self.target.unlabelled(number)
        target_labelled = None if self.target_labelled is None else self.target_labelled.labelled(number)
        source = self.source.labelled(number) if self.source is not None else _none_like(target)
        return DomainBatch(source, target, target_labelled)


def _none_like(target: Unlabelled | None) -> Labelled:
    """Return an empty source batch, for a method without a source."""
    if target is None:
        raise ValueError("batches need a source or a target")
    return Labelled(take(target.inputs, slice(0)), NO_LABELS)


class TrainingLoader:
    """Loader that yields the training batches of an epoch in order; the next epoch continues after the last yielded batch.

    Args:
        batches: Data set in which batch i is a function of i.
        batches_per_epoch: Number of batches per epoch, which does not affect the streams of samples.
        num_workers: Processes that prepare batches; 0 prepares them in this one. They do not change the batches.
        batches_done: Number of batches of a resumed run so far.
        rank: Rank of this process.
        world_size: Number of processes that train together; each takes every world_size-th batch.
    """

    def __init__(
        self,
        batches: TrainingBatches,
        *,
        batches_per_epoch: int,
        num_workers: int,
        batches_done: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._next = _NextBatches(batches_per_epoch, batches_done, rank, world_size)
        self._loader = batch_loader(batches, num_workers=num_workers, sampler=self._next)

    def __len__(self) -> int:
        return len(self._next)

    @property
    def batches_done(self) -> int:
        """Number of yielded batches, including those before a run was resumed."""
        return self._next.batches_done

    def __iter__(self) -> Iterator[DomainBatch]:
        # Without workers and pages to pin, the torch loader only costs time.
        is_direct = self._loader.num_workers == 0 and not self._loader.pin_memory
        for batch in map(self._loader.dataset.__getitem__, self._next) if is_direct else self._loader:
            self._next.batches_done += 1
            yield batch

    @property
    def _iterator(self) -> Any:
        """The iterator of the torch loader, which Lightning accesses at the end of training to stop its workers."""
        return self._loader._iterator

    @_iterator.setter
    def _iterator(self, iterator: None) -> None:
        self._loader._iterator = iterator

    def state_dict(self) -> dict[str, int]:
        return {"batches_done": self.batches_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._next.batches_done = state["batches_done"]


class _NextBatches:
    """Sampler of the numbers of the next batches of an epoch.

    A resumed or shortened epoch (trainer.limit_train_batches) uses fewer. It has no reference to the loader that uses it:
    the garbage collector, which would have to break the cycle, waits 5 seconds for each of the loader's workers.
    """

    def __init__(self, batches_per_epoch: int, batches_done: int, rank: int, world_size: int) -> None:
        self.batches_per_epoch = batches_per_epoch
        self.batches_done = batches_done
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[int]:
        numbers = range(self.batches_done, self.batches_done + self.batches_per_epoch)
        return (number * self.world_size + self.rank for number in numbers)

    def __len__(self) -> int:
        return self.batches_per_epoch


class EvaluationBatches(Dataset[Labelled | Unlabelled]):
    """All samples of a set once and in order, in batches.

    Args:
        samples: The samples to evaluate.
        view: View of the samples; a random view is seeded by the sample. None: samples as they are loaded.
        batch_size: Samples per batch, except for the last one.
        labelled: Whether batches contain labels.
    """

    def __init__(self, samples: Samples, view: View | None, *, batch_size: int, labelled: bool) -> None:
        self.samples = samples
        self.view = view
        self.batch_size = batch_size
        self.labelled = labelled

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def __getitem__(self, number: int) -> Labelled | Unlabelled:
        if not 0 <= number < len(self):
            raise IndexError(number)
        indices = range(number * self.batch_size, min((number + 1) * self.batch_size, len(self.samples)))
        inputs, rows = self.inputs(indices), slice(indices.start, indices.stop)
        domains = rows_of(self.samples.domains, rows)
        if not self.labelled:
            return Unlabelled([inputs], domains=domains)
        assert self.samples.labels is not None
        return Labelled(inputs, self.samples.labels[rows], domains=domains)

    def inputs(self, indices: Sequence[int]) -> Inputs:
        """Return inputs in the view, or as they are loaded."""
        loaded = self.samples.load(indices)
        return loaded if self.view is None else self.view.look(loaded, indices)
