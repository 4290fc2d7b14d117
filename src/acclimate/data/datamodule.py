"""The data of a run: which samples exist, and the loaders over them."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from acclimate.data.cache.features import FrozenBackbone
from acclimate.data.cache.store import Cache
from acclimate.data.data_overview import describe_data
from acclimate.data.domains import Domains, Parts
from acclimate.data.few_labels import keep_labelled_source
from acclimate.data.kind import Kind
from acclimate.data.labels import TargetLabels, take_labels_off
from acclimate.data.loaders import EvaluationBatches, Feed, Sampling, TrainingBatches, TrainingLoader, batch_loader
from acclimate.data.samples import KeptFeatures, Samples
from acclimate.data.training_parts import TrainingParts
from acclimate.data.viewed_samples import FixedView, ViewedSamples
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import Inputs, InputSpec
from acclimate.ranges import Count, Workers
from acclimate.seeds import seed_for
from acclimate.types import Domain, Labelled, Needs, Part, Unlabelled

log = logging.getLogger(__name__)


class AdaptationData(pl.LightningDataModule, ABC):
    """Batches of a labelled source and, if there is one, an unlabelled target.

    The labels of the target are kept in `target_labels` and nowhere else, see `TargetLabels`. Those of its training part never
    leave it, but for those that `target_labels_per_class` asks for, and those of its validation part only if
    `reveal_target_labels` is set, which `selection=oracle` alone does. The order of the target's samples is that of their
    digests, so that it depends neither on labels nor on names either.

    A subclass for one kind of input says what the views are called, and hands them on.

    Args:
        batch_size: Source samples in a training batch.
        target_batch_size: Target samples in a training batch; None takes as many as of the source.
        eval_batch_size: Samples in a batch of evaluation.
        num_workers: Processes that read and augment samples; 0 does so in the training process, as it does anyway where
            neither is to be done. They change no batch.
        epoch: How many batches an epoch has: as many as go once through the longer or the shorter domain, the source
            or the target. Each domain is an endless stream of permutations, so whatever the epoch, no sample is left out.
        source_sampling: `natural` draws all source samples equally often, `balanced` all classes: in each training batch
            they are as equal as they can be. The target has no labels to balance it by.
        target_labels_per_class: How many training samples of each class of the target lend their labels to training, at least
            1; None is unsupervised adaptation. `split_seed` governs which. They come in batches of their own, in the first
            view of the target, beside the unlabelled ones, among which they stay.
        source_view: How source samples are seen in training, see `Kind.view`.
        target_views: How target samples are seen in training.
        strong_view: A further view of target samples for terms that compare two, such as FixMatch, and both views of all samples
            for methods that compare two, such as SimCLR.
        fixed_views: How many random views there are of each sample, which then come back in turn and are the same for all
            seeds; so the features of a frozen backbone can be kept. At least 1; None draws new ones without end.
        source_labels_per_class: How many source samples of each class a method that needs labels trains on, at least 1. The
            seed chooses which, so each of several seeds sees others. Self-supervised methods train on all samples, and
            validation and testing keep theirs. None takes all.
        feature_cache: Where the features of a frozen backbone are kept, which are then computed once and not in every
            epoch: on `disk`, for all runs to come, in `ram`, for this one, or nowhere (`none`). What is seen in random
            views is computed anew all the same, unless they are `fixed_views`. A sample's features differ in the last bits
            with the batch that it is in; those that are kept are of the batches of evaluation.
        seed: Governs order and augmentation.

    Attributes:
        kind: The inputs as the model sees them; known from `prepare_for` on.
    """

    kind: Kind

    # Governs what is chosen once and for all runs; a subclass may leave it to the user.
    split_seed: int = 0

    def __init__(
        self,
        *,
        batch_size: Count = 64,
        target_batch_size: Count | None = None,
        eval_batch_size: Count = 256,
        num_workers: Workers = 0,
        epoch: Literal["longest", "shortest", "source", "target"] = "longest",
        source_sampling: Sampling = "natural",
        target_labels_per_class: Count | None = None,
        source_view: Any = "plain",
        target_views: Sequence[Any] = ("plain",),
        strong_view: Any = "plain",
        fixed_views: Count | None = None,
        source_labels_per_class: Count | None = None,
        feature_cache: Cache = "disk",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.target_batch_size = target_batch_size or batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.epoch = epoch
        self.source_sampling: Sampling = source_sampling
        self.source_views = [source_view]
        self.target_labels_per_class = target_labels_per_class
        self.target_views = list(target_views)
        self.strong_view = strong_view
        self.fixed_views = fixed_views
        self.source_labels_per_class = source_labels_per_class
        self.seed = seed
        self.known_classes: list[str] | None = None
        self.feature_cache: Cache = feature_cache
        self.frozen_backbone: FrozenBackbone | None = None
        self.feeds_target = False
        self.reveal_target_labels = False

    @abstractmethod
    def read(self) -> Domains:
        """Find the samples and divide them into parts; called once.

        Raises:
            DataError: If the user's files are not what they must be.
        """

    def read_target(self, classes: list[str]) -> Parts | None:
        """Find the target's samples alone, of which no more is known than the classes; None if there is no target.

        Raises:
            DataError: If the user's files are not what they must be, or belong to other classes.
        """
        raise DataError(f"{type(self).__name__} has no read_target(), which finds the target without a look at the source.")

    @abstractmethod
    def input_spec(self) -> InputSpec:
        """Return what a model has to know of the inputs, as far as the data says; called after `domains` was read."""

    @abstractmethod
    def kind_for(self, spec: InputSpec) -> Kind:
        """Return the kind of input for a model whose specification leaves nothing open."""

    def continue_from(self, kind: Kind) -> None:
        """Take up the kind of input that a model was trained on; before `domains` is asked for."""
        return

    def leave_out_source(self, classes: list[str]) -> None:
        """Never look at the source, which need not be there; before `domains` is asked for.

        Args:
            classes: What a model was trained to tell apart.
        """
        self.known_classes = classes

    @cached_property
    def domains(self) -> Domains:
        """All samples; those of the target without labels."""
        return self._divided[0]

    @cached_property
    def target_labels(self) -> TargetLabels:
        return self._divided[1]

    @cached_property
    def _divided(self) -> tuple[Domains, TargetLabels]:
        known = self.known_classes
        domains = self.read() if known is None else Domains(known, None, self.read_target(known))
        target, labels = take_labels_off(domains.target)
        return domains._replace(target=target), labels

    @cached_property
    def labelled_target(self) -> list[int]:
        """Places in the target's training part of the samples whose labels may train.

        Raises:
            ConfigError: If there are not as many labels as are asked for.
        """
        if self.target_labels_per_class is None:
            return []
        return self.target_labels.choose(self.domains.classes, per_class=self.target_labels_per_class, seed=self.split_seed)

    def ready(self, domains: Domains) -> Domains:
        """Return all samples, ready to be loaded; a subclass may prepare them once and for all, now that their kind is known."""
        return domains

    def prepare_for(
        self,
        *,
        spec: InputSpec,
        needs: Needs,
        reveal_target_labels: bool,
        frozen_backbone: nn.Module | None = None,
    ) -> None:
        """Take what the model and the method need.

        Args:
            spec: The specification of the model's inputs.
            needs: Of the method. If it takes unlabelled source inputs, no label of either domain is given out, neither in training
                nor in evaluation.
            reveal_target_labels: Whether validation batches of the target carry labels: the oracle's privilege.
            frozen_backbone: The backbone, if it stays as it is.

        Raises:
            ConfigError: If the target has fewer labels than `target_labels_per_class`.
            DataError: If a class has fewer training samples than `source_labels_per_class`.
        """
        if self.labelled_target:
            log.info("Labels of %d target samples train, too.", len(self.labelled_target))
        self.kind = self.kind_for(spec)
        self.feeds_target = needs.target
        if needs.views == "strong" and len(self.target_views) == 1:
            self.target_views.append(self.strong_view)
        if needs.views == "pair":
            self.source_views = self.target_views = [self.strong_view] * 2
        for line in describe_data(self.domains, self.target_labels):
            log.info(line)
        self.domains = self.ready(self.domains)
        if needs.is_self_supervised:
            self.domains, self.target_labels = self.domains.without_labels(), TargetLabels(None)
        elif self.source_labels_per_class is not None and self.domains.source is not None:
            self.domains = keep_labelled_source(self.domains, per_class=self.source_labels_per_class, seed=self.seed)
        self.reveal_target_labels = reveal_target_labels
        if frozen_backbone is not None and self.feature_cache != "none":
            self.frozen_backbone = FrozenBackbone(frozen_backbone, self.feature_cache)

    def train_dataloader(self) -> TrainingLoader:
        feeds = self._feeds()
        world_size = self.trainer.world_size if self.trainer else 1
        return TrainingLoader(
            TrainingBatches(feeds.get("source"), feeds.get("target"), feeds.get("target_labelled")),
            batches_per_epoch=self.batches_per_epoch(world_size),
            num_workers=self._num_workers(all(feed.samples.is_at_hand for feed in feeds.values())),
            # Lightning restores the state of loaders only if a run stopped in the middle of an epoch.
            batches_done=getattr(self.trainer.lightning_module, "batches_done", 0) if self.trainer else 0,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=world_size,
        )

    def batches_per_epoch(self, world_size: int = 1) -> int:
        """Return how many training batches an epoch has for each of `world_size` processes."""
        lengths = {}
        if self.domains.source is not None:
            lengths["source"] = -(-len(self.domains.source.train) // self.batch_size)
        if self.domains.target is not None and self.feeds_target:
            lengths["target"] = -(-len(self.domains.target.train) // self.target_batch_size)
        lengths |= {"longest": max(lengths.values()), "shortest": min(lengths.values())}
        return max(lengths.get(self.epoch, lengths["longest"]) // world_size, 1)

    def _feeds(self) -> dict[str, Feed]:
        """Return what training is fed with: the source, the target, and the few samples of the target whose labels train."""
        feeds: dict[str, Feed] = {}
        if self.domains.source is not None:
            seen = self._seen("source", self.domains.source.train, self.source_views)
            feeds["source"] = Feed(seen, self.batch_size, seed_for(self.seed, "source"), self.source_sampling)
        if self.domains.target is not None and self.feeds_target:
            seen = self._seen("target", self.domains.target.train, self.target_views)
            feeds["target"] = Feed(seen, self.target_batch_size, seed_for(self.seed, "target"))
        if self.domains.target is not None and self.labelled_target:
            few = self.domains.target.train.take(self.labelled_target).with_labels(self.target_labels.lend(self.labelled_target))
            seen = self._seen("target_labelled", few, self.target_views[:1])
            feeds["target_labelled"] = Feed(seen, min(self.target_batch_size, len(few)), seed_for(self.seed, "target_labelled"))
        if self._keeps_features("train") and all(feed.samples.has_end for feed in feeds.values()):
            for seen in (feed.samples for feed in feeds.values()):
                seen.features = [self._features_of(seen, place) for place in range(len(seen.views))]
        return feeds

    def training_parts(self) -> TrainingParts:
        """Return all training samples as evaluation sees them."""
        return TrainingParts(self.domains, self.kind.view("plain"), batch_size=self.eval_batch_size)

    def val_dataloader(self) -> list[DataLoader[Labelled | Unlabelled]]:
        return self._evaluation_loaders("val")

    def test_dataloader(self) -> list[DataLoader[Labelled | Unlabelled]]:
        return self._evaluation_loaders("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        # Batches are made on the processor. Lightning would go through all of their parts to find that out.
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def first_inputs(self, num: int) -> dict[str, Inputs]:
        """Return the first training inputs of each domain, as evaluation sees them."""
        view = self.kind.view("plain")
        parts = {"source": self.domains.source, "target": self.domains.target}
        trained = {name: part.train for name, part in parts.items() if part is not None}
        return {name: view.look(samples.load(range(min(num, len(samples)))), []) for name, samples in trained.items()}

    def evaluated_domains(self, part: Part) -> list[Domain]:
        """The domain of each loader of a part, in the loaders' order."""
        return [domain for domain, _ in self._evaluated(part)]

    def _evaluated(self, part: Part) -> list[tuple[Domain, Samples]]:
        parts: list[tuple[Domain, Parts | None]] = [("source", self.domains.source), ("target", self.domains.target)]
        found = [(domain, getattr(samples, part)) for domain, samples in parts if samples is not None]
        return [(domain, samples) for domain, samples in found if samples is not None]

    def _evaluation_loaders(self, part: Part) -> list[DataLoader[Labelled | Unlabelled]]:
        loaders = []
        for domain, samples in self._evaluated(part):
            labels = samples.labels if domain == "source" else self._revealed_labels(part)
            if self._keeps_features(part):
                kept = self._features_of(self._seen(domain, samples, ["plain"]))
                batches = EvaluationBatches(KeptFeatures(kept, labels), None, batch_size=self.eval_batch_size, labelled=labels is not None)
            else:
                batches = EvaluationBatches(
                    samples.with_labels(labels), self.kind.view("plain"), batch_size=self.eval_batch_size, labelled=labels is not None
                )
            loaders.append(batch_loader(batches, num_workers=self._num_workers(batches.samples.is_at_hand)))
        return loaders

    def _revealed_labels(self, part: Part) -> torch.Tensor | None:
        """Labels of the target in evaluation: for the final test, and for the oracle's validation."""
        if part == "test":
            return self.target_labels.for_final_test()
        return self.target_labels.for_oracle() if self.reveal_target_labels else None

    def _seen(self, domain: str, samples: Samples, names: Sequence[Any]) -> ViewedSamples:
        """Return samples in views that are new each time, or in a few that are the same for all seeds."""
        seed = seed_for(self.seed if self.fixed_views is None else self.split_seed, domain)
        return ViewedSamples(samples, [self.kind.view(name) for name in names], seed, self.fixed_views)

    def _keeps_features(self, part: Part) -> bool:
        """Return whether loaders of a part give features in the place of inputs."""
        if self.frozen_backbone is None or self.trainer is None:
            return False
        # To Lightning 1.0 is all of them and 1 a single one; a run that is cut short does not look at all samples.
        share = getattr(self.trainer, f"limit_{part}_batches")
        return isinstance(share, float) and share == 1.0

    def _features_of(self, seen: ViewedSamples, place: int = 0) -> torch.Tensor:
        """Return the frozen backbone's features of one of the views."""
        assert self.frozen_backbone is not None and self.trainer is not None
        view = seen.views[place]
        ready = seen.samples.is_at_hand and not view.random
        conditions = (self.kind.settings(), self.eval_batch_size, self.trainer.precision, torch.get_float32_matmul_precision())
        return self.frozen_backbone.features(
            seen.samples,
            batch_loader(FixedView(seen, place, self.eval_batch_size), num_workers=self._num_workers(ready)),
            view=view,
            precision=self.trainer.precision_plugin.forward_context,
            conditions=(*conditions, view.name, seen.seed, seen.num_fixed, place) if view.random else conditions,
            about=f"{len(seen)} {self.kind.spec.noun}, {view.name}" + (f" in {seen.num_fixed} views" if view.random else ""),
        )

    def _num_workers(self, at_hand: bool) -> int:
        """Return none where batches are only copied: handing them over takes a process longer than making them."""
        return 0 if at_hand else self.num_workers


def missing_source() -> ConfigError:
    """What to say to a method that needs a source where none is named."""
    return ConfigError(
        "data.source is null, but this method trains on a labelled source. Name it (data.source=...), "
        "or adapt a trained model without one: method=shot init_from=RUN."
    )


def data_of(trainer: pl.Trainer) -> AdaptationData:
    """The data that a trainer was given, which Lightning declares nowhere."""
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, AdaptationData):
        raise TypeError(f"The trainer has {type(data).__name__} in the place of AdaptationData.")
    return data
