"""Loaders of finished batches: a training loader that resumes where it stopped, and one for evaluation."""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from acclimate.data.kind import View
from acclimate.data.samples import Samples
from acclimate.data.sampling import BalancedStream, SampleStream, Stream
from acclimate.data.viewed_samples import ViewedSamples
from acclimate.inputs import take
from acclimate.types import DomainBatch, Labelled, Unlabelled

Sampling = Literal["natural", "balanced"]

NO_LABELS = torch.empty(0, dtype=torch.int64)


def _unchanged(batch: Any) -> Any:
    return batch


def _side_by_side(batch: Any) -> Any:
    """Copy tensors whose elements share memory, such as grey images in three channels, which cannot be pinned."""
    # Here, as a trained model is used where Lightning is not installed.
    from lightning_utilities.core.apply_func import apply_to_collection

    return apply_to_collection(batch, Tensor, lambda tensor: tensor.contiguous() if 0 in tensor.stride() else tensor)


def batch_loader(batches: Dataset[Any], *, num_workers: int, sampler: Any = None) -> DataLoader[Any]:
    """A loader of a data set whose items are whole batches."""
    pins = torch.cuda.is_available()
    return DataLoader(
        batches,
        batch_size=None,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=_side_by_side if pins else _unchanged,
        pin_memory=pins,
        persistent_workers=num_workers > 0,
        # Without one of its own, every iterator draws from the global generator and so changes what comes after.
        generator=torch.Generator(),
    )


class Feed:
    """The batches that training sees of one domain.

    Args:
        samples: Where they come from, as they are seen.
        batch_size: Samples in each.
        seed: Governs the order.
        sampling: `natural` draws all samples equally often, `balanced` all classes, for which samples need labels.
    """

    def __init__(self, samples: ViewedSamples, batch_size: int, seed: int, sampling: Sampling = "natural") -> None:
        self.samples = samples
        # Until each was drawn once.
        self.num_batches = -(-len(samples) // batch_size)
        self.stream: Stream
        if sampling == "balanced":
            assert samples.labels is not None
            self.stream = BalancedStream(samples.labels, batch_size, seed)
        else:
            self.stream = SampleStream(len(samples), batch_size, seed)

    def labelled(self, number: int) -> Labelled:
        """Batch `number` in its one or two views, with labels if the samples have any."""
        draws = self.stream.batch(number)
        all_labels = self.samples.labels
        labels = NO_LABELS if all_labels is None else all_labels[torch.tensor([draw.sample for draw in draws])]
        inputs, *second = self.samples.look(draws)
        return Labelled(inputs, labels, *second)

    def unlabelled(self, number: int) -> Unlabelled:
        """Batch `number` in all views; no label is read."""
        draws = self.stream.batch(number)
        return Unlabelled(self.samples.look(draws), torch.tensor([draw.sample for draw in draws]))


class TrainingBatches(Dataset[DomainBatch]):
    """Item i is training batch i, for every i from 0 on; one of the two domains may be missing.

    Args:
        source: Labelled.
        target: Unlabelled.
        target_labelled: The samples of the target whose labels may train, if there are any.
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
    """A source batch of no inputs, for a method that takes none."""
    if target is None:
        raise ValueError("batches need a source or a target")
    return Labelled(take(target.inputs, slice(0)), NO_LABELS)


class TrainingLoader:
    """Yields the training batches in order, as many as an epoch has, and then goes on after the last one that it yielded.

    Args:
        batches: Batch i must be a function of i.
        batches_per_epoch: Where an epoch ends; the streams behind it take no notice.
        num_workers: Processes that prepare batches; 0 prepares them in this one. They do not change the batches.
        batches_done: How many batches a run that is resumed has had.
        rank: This process's number among those that train together.
        world_size: How many processes train together; each takes every world_size-th batch.
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
        """How many batches were yielded, also before a run was resumed."""
        return self._next.batches_done

    def __iter__(self) -> Iterator[DomainBatch]:
        for batch in self._loader:
            self._next.batches_done += 1
            yield batch

    @property
    def _iterator(self) -> Any:
        """What Lightning asks every loader for when training ends, to stop its workers and to set it to None."""
        return self._loader._iterator

    @_iterator.setter
    def _iterator(self, iterator: None) -> None:
        self._loader._iterator = iterator

    def state_dict(self) -> dict[str, int]:
        return {"batches_done": self.batches_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._next.batches_done = state["batches_done"]


class _NextBatches:
    """Numbers of the next batches, as many as an epoch has, asked anew for every epoch.

    Whoever resumes or shortens an epoch (trainer.limit_train_batches) takes fewer. It knows nothing of the loader that
    uses it: the garbage collector, which alone can end a circle, waits 5 seconds for each of the loader's workers.
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
    """All samples of a set in order, each once, in batches.

    Args:
        samples: The set to evaluate.
        view: How each sample is seen; a random view is seeded by the sample. None gives samples as they are loaded.
        batch_size: Samples in each batch but the last.
        labelled: Whether batches carry labels.
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
        loaded = self.samples.load(indices)
        inputs = loaded if self.view is None else self.view.look(loaded, indices)
        if not self.labelled:
            return Unlabelled([inputs])
        assert self.samples.labels is not None
        return Labelled(inputs, self.samples.labels[indices.start : indices.stop])
