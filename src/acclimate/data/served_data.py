"""Batches of the samples of a run, for training and evaluation, as views or as kept features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from acclimate.data.cache.features import FrozenBackbone
from acclimate.data.cache.store import Cache
from acclimate.data.domains import Domains
from acclimate.data.kind import Kind
from acclimate.data.labels import TargetLabels
from acclimate.data.loaders import EvaluationBatches, Feed, Sampling, TrainingBatches, TrainingLoader, batch_loader
from acclimate.data.samples import KeptFeatures, Samples
from acclimate.data.training_parts import TrainingParts
from acclimate.data.viewed_samples import FixedView, ViewedSamples
from acclimate.ranges import Count, Workers
from acclimate.seeds import seed_for
from acclimate.types import Domain, Labelled, Part, Unlabelled

# Samples in a validation batch of kept features, which need little memory: each batch costs as much time as hundreds of them.
NUM_FEATURES = 2048


class ServedData(pl.LightningDataModule, ABC):
    """Base class of data modules that serve samples in batches; a subclass knows which samples there are.

    Args:
        batch_size: Source samples per training batch.
        target_batch_size: Target samples per training batch; None: as many as of the source.
        eval_batch_size: Samples per evaluation batch. Validations on kept features have larger batches.
        num_workers: Processes that read and augment samples; 0 does it in the training process, which is also done if there is
            nothing to read or augment. They do not change the batches.
        epoch: Length of an epoch: one pass over the longer or the shorter domain, the source or the target. Each domain is an
            endless stream of permutations, so all samples are used whatever the length.
        source_sampling: `natural` draws all source samples equally often, `balanced` all classes, as equally as possible in
            each training batch. The target has no labels to balance it by.
        domain_sampling: Sampling of several sources, and of several targets: `natural` draws all samples equally often, so that larger
            ones are drawn from more often; `balanced` draws from all of them equally often.
        target_labels_per_class: Labelled target samples per class used in training, at least 1; None: none. They depend on
            `split_seed`. They form separate batches, in the first view of the target, and remain among the unlabelled samples.
        source_view: View of source samples in training, see `Kind.view`.
        target_views: Views of target samples in training.
        strong_view: Additional view of target samples for terms that compare two views, such as FixMatch, and both views of
            all samples for methods that compare two views, such as SimCLR.
        fixed_views: Number of random views of each sample, at least 1, which are repeated in turn and equal for all seeds, so
            that the features of a frozen backbone can be cached; None: new views in each epoch.
        source_labels_per_class: Source samples per class for methods that need labels, at least 1, which depend on the seed;
            None: all. Self-supervised methods train on all samples, and validation and testing use all of theirs.
        feature_cache: Cache for the features of a frozen backbone, which are then computed once instead of in every epoch:
            `disk` for all later runs, `ram` for this run, or `none`. Features of random views are still computed in every
            epoch, unless they are `fixed_views`. The features of a sample depend on its batch in the last bits; the cached ones
            are those of evaluation batches.
        seed: Seed of order and augmentation.

    Attributes:
        kind: The kind of input of the model; set before batches are asked for.
    """

    kind: Kind

    # Seed of choices that are the same for all runs; a subclass may leave it to the user.
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
        domain_sampling: Sampling = "natural",
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
        self.domain_sampling: Sampling = domain_sampling
        self.source_views = [source_view]
        self.target_labels_per_class = target_labels_per_class
        self.target_views = list(target_views)
        self.strong_view = strong_view
        self.fixed_views = fixed_views
        self.source_labels_per_class = source_labels_per_class
        self.seed = seed
        self.feature_cache: Cache = feature_cache
        self.frozen_backbone: FrozenBackbone | None = None
        self.feeds_target = False
        self.reveal_target_labels = False

    @property
    @abstractmethod
    def domains(self) -> Domains:
        """All samples; the target's samples have no labels."""

    @property
    @abstractmethod
    def target_labels(self) -> TargetLabels:
        """Labels of the target, kept apart from its samples."""

    @property
    @abstractmethod
    def labelled_target(self) -> list[int]:
        """Indices of the labelled samples in the target's training part, for `target_labels_per_class`."""

    def train_dataloader(self) -> TrainingLoader:
        feeds = self.feeds()
        world_size = self.trainer.world_size if self.trainer else 1
        return TrainingLoader(
            TrainingBatches(feeds.get("source"), feeds.get("target"), feeds.get("target_labelled")),
            batches_per_epoch=self.batches_per_epoch(world_size),
            num_workers=self._num_workers(all(feed.samples.is_at_hand for feed in feeds.values())),
            # Lightning restores the state of loaders only if a run stopped within an epoch.
            batches_done=getattr(self.trainer.lightning_module, "batches_done", 0) if self.trainer else 0,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=world_size,
        )

    def batches_per_epoch(self, world_size: int = 1) -> int:
        """Return the number of training batches per epoch for each of `world_size` processes."""
        lengths = {}
        if self.domains.source is not None:
            lengths["source"] = -(-len(self.domains.source.train) // self.batch_size)
        if self.domains.target is not None and self.feeds_target:
            lengths["target"] = -(-len(self.domains.target.train) // self.target_batch_size)
        lengths |= {"longest": max(lengths.values()), "shortest": min(lengths.values())}
        return max(lengths.get(self.epoch, lengths["longest"]) // world_size, 1)

    def feeds(self) -> dict[str, Feed]:
        """Return the feeds of training: the source, the target, and the labelled target samples."""
        feeds: dict[str, Feed] = {}
        if self.domains.source is not None:
            seen = self.in_training_views("source")
            feeds["source"] = Feed(seen, self.batch_size, seed_for(self.seed, "source"), self.source_sampling, self.domain_sampling)
        if self.domains.target is not None and self.feeds_target:
            seen = self.in_training_views("target")
            feeds["target"] = Feed(seen, self.target_batch_size, seed_for(self.seed, "target"), domain_sampling=self.domain_sampling)
        if self.domains.target is not None and self.labelled_target:
            few = self.domains.target.train.take(self.labelled_target).with_labels(self.target_labels.lend(self.labelled_target))
            seen = self._seen("target_labelled", few, self.target_views[:1])
            feeds["target_labelled"] = Feed(seen, min(self.target_batch_size, len(few)), seed_for(self.seed, "target_labelled"))
        if self._keeps_features("train") and all(feed.samples.has_end for feed in feeds.values()):
            for seen in (feed.samples for feed in feeds.values()):
                seen.features = [self._features_of(seen, place) for place in range(len(seen.views))]
        return feeds

    def training_parts(self) -> TrainingParts:
        """Return all training samples without augmentation."""
        return TrainingParts(self.domains, self.kind.view("plain"), batch_size=self.eval_batch_size)

    def val_dataloader(self) -> list[DataLoader[Labelled | Unlabelled]]:
        return self._evaluation_loaders("val")

    def test_dataloader(self) -> list[DataLoader[Labelled | Unlabelled]]:
        return self._evaluation_loaders("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        # Batches are created on the CPU. Lightning would go through all of their parts to find that out.
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def in_training_views(self, domain: Domain) -> ViewedSamples:
        """Return the training samples of a domain, which the run has, in the views of training."""
        return self._seen(domain, self.domains.in_part("train")[domain], self.source_views if domain == "source" else self.target_views)

    def evaluated_domains(self, part: Part) -> list[Domain]:
        """Return the domain of each loader of a part, in order."""
        return list(self.domains.in_part(part))

    def _evaluation_loaders(self, part: Part) -> list[DataLoader[Labelled | Unlabelled]]:
        return [
            batch_loader(batches, num_workers=self._num_workers(batches.samples.is_at_hand)) for _, batches in self.evaluation_samples(part)
        ]

    def evaluation_samples(self, part: Part) -> list[tuple[Domain, EvaluationBatches]]:
        """Return the batches of a part of each domain, as views or as kept features."""
        found = []
        for domain, samples in self.domains.in_part(part).items():
            labels, view = samples.labels if domain == "source" else self._revealed_labels(part), None
            batch_size = self.eval_batch_size
            if self._keeps_features(part):
                kept = self._features_of(self._seen(domain, samples, ["plain"]))
                samples = KeptFeatures(kept, labels, samples.domains)  # noqa: PLW2901
                # The batches of the test matter to methods that adapt to them.
                batch_size = max(batch_size, NUM_FEATURES) if part == "val" else batch_size
            else:
                samples, view = samples.with_labels(labels), self.kind.view("plain")  # noqa: PLW2901
            found.append((domain, EvaluationBatches(samples, view, batch_size=batch_size, labelled=labels is not None)))
        return found

    def _revealed_labels(self, part: Part) -> torch.Tensor | None:
        """Return the target's labels for evaluation: for the final test, and for the validation of an oracle."""
        if part == "test":
            return self.target_labels.for_final_test()
        return self.target_labels.for_oracle() if self.reveal_target_labels else None

    def _seen(self, domain: str, samples: Samples, names: Sequence[Any]) -> ViewedSamples:
        """Return samples in random views, or in fixed views that are the same for all seeds."""
        seed = seed_for(self.seed if self.fixed_views is None else self.split_seed, domain)
        return ViewedSamples(samples, [self.kind.view(name) for name in names], seed, self.fixed_views)

    def _keeps_features(self, part: Part) -> bool:
        """Return True if the loaders of a part yield features instead of inputs."""
        if self.frozen_backbone is None or self.trainer is None:
            return False
        # For Lightning, 1.0 means all batches and 1 a single one; a shortened run does not use all samples.
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
        """Return 0 if batches are only copied, because passing them between processes takes longer than creating them."""
        return 0 if at_hand else self.num_workers
