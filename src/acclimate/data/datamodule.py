"""The data of a run: its samples and the loaders over them."""

import logging
from abc import abstractmethod
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
from torch import nn

from acclimate.data.cache.features import FrozenBackbone
from acclimate.data.copies import Copies
from acclimate.data.data_overview import describe_data
from acclimate.data.domains import Domains, Parts
from acclimate.data.few_labels import keep_labelled_source
from acclimate.data.kind import Kind
from acclimate.data.labels import TargetLabels, take_labels_off
from acclimate.data.served_data import ServedData
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import InputSpec
from acclimate.types import Needs

log = logging.getLogger(__name__)


class AdaptationData(ServedData):
    """Base class of data modules with batches of a labelled source and of an optional, unlabelled target.

    The labels of the target are kept only in `target_labels`, see `TargetLabels`. Those of its training part are never used,
    except for those of `target_labels_per_class`, and those of its validation part only if `reveal_target_labels` is set, which
    only `selection=oracle` does. The target's samples are in the order of their digests, so it depends neither on labels nor
    on names.

    A subclass for a kind of input declares the names of its views and passes them on.

    Args:
        **loading: Arguments of `ServedData`.
    """

    def __init__(self, **loading: Any) -> None:
        super().__init__(**loading)
        self.known_classes: list[str] | None = None
        self.class_order: list[str] | None = None
        # Lines about the samples, known after `prepare_for`.
        self.overview: list[str] = []
        self.may_lack_classes = False

    @abstractmethod
    def read(self) -> Domains:
        """Find the samples and divide them into parts; called once.

        Raises:
            DataError: If the user's files are invalid.
        """

    def read_target(self, classes: list[str]) -> Parts | None:
        """Find only the target's samples, for known classes; None if there is no target.

        Raises:
            DataError: If the user's files are invalid, or belong to other classes.
        """
        raise DataError(f"{type(self).__name__} has no read_target(), which finds the target without using the source.")

    @abstractmethod
    def input_spec(self) -> InputSpec:
        """Return the specification of the inputs, as far as the data determines it; called after `domains` was read."""

    @abstractmethod
    def kind_for(self, spec: InputSpec) -> Kind:
        """Return the kind of input for a model with a complete specification."""

    def continue_from(self, kind: Kind, classes: list[str], *, may_lack: bool = False, without_source: bool = False) -> None:
        """Prepare for a trained model; called before `domains` is accessed.

        Args:
            kind: Kind of input that the model was trained on.
            classes: Classes of the model, whose numbers the data takes over if it has the same names.
            may_lack: Whether the source may lack some of them, as in an evaluation.
            without_source: Whether to leave the source out, which then need not exist.
        """
        self.use_settings_of(kind)
        self.class_order = classes
        self.may_lack_classes = may_lack
        self.known_classes = classes if without_source else None

    def use_settings_of(self, kind: Kind) -> None:
        """Use settings of the kind of input that a model was trained on where the user has chosen none; see `continue_from`."""
        return

    def group_of(self, name: str) -> str | None:
        """Return the group of a sample by its name, such as a patient, whose samples stay in one part; None if it has none."""
        return None

    @cached_property
    def domains(self) -> Domains:
        """All samples; the target's samples have no labels."""
        return self._divided[0]

    @property
    def division(self) -> Domains:
        """All samples as they were divided, also those that a run leaves out of training."""
        return self._divided[0]

    @cached_property
    def target_labels(self) -> TargetLabels:
        """Labels of the target, kept apart from its samples."""
        return self._divided[1]

    @cached_property
    def _divided(self) -> tuple[Domains, TargetLabels]:
        known = self.known_classes
        domains = self.read() if known is None else Domains(known, None, self.read_target(known))
        if self.class_order is not None:
            domains = domains.in_order_of(self.class_order)
        target, labels = take_labels_off(domains.target)
        return domains._replace(target=target), labels

    @cached_property
    def labelled_target(self) -> list[int]:
        """Indices of the labelled samples in the target's training part, for `target_labels_per_class`.

        Raises:
            ConfigError: If there are fewer labels than requested.
        """
        if self.target_labels_per_class is None:
            return []
        return self.target_labels.choose(self.domains.classes, per_class=self.target_labels_per_class, seed=self.split_seed)

    def ready(self, domains: Domains) -> Domains:
        """Return all samples ready for loading; a subclass may prepare them once, because their kind is now known."""
        return domains

    def describe_near_copies(self, domains: Domains) -> list[str]:
        """Return lines about samples that are almost equal; none unless a subclass can compare its kind of input."""
        return []

    def prepare_for(
        self,
        *,
        spec: InputSpec,
        needs: Needs,
        reveal_target_labels: bool,
        frozen_backbone: nn.Module | None = None,
        show_overview: bool = True,
    ) -> None:
        """Prepare the data for a model and a method.

        Args:
            spec: Specification of the model's inputs.
            needs: Needs of the method. If it uses unlabelled source inputs, batches contain no labels of either domain, neither
                in training nor in evaluation.
            reveal_target_labels: Whether validation batches of the target contain labels, which only an oracle may use.
            frozen_backbone: The backbone, if it is frozen.
            show_overview: Whether to log an overview of the data.

        Raises:
            ConfigError: If the target has fewer labels than `target_labels_per_class`.
            DataError: If a class has fewer training samples than `source_labels_per_class`.
        """
        if self.labelled_target:
            log.info("Labels of %d target samples are used in training.", len(self.labelled_target))
        self.kind = self.kind_for(spec)
        self.feeds_target = needs.target
        if needs.views == "strong" and len(self.target_views) == 1:
            self.target_views.append(self.strong_view)
        if needs.views == "pair":
            self.source_views = self.target_views = [self.strong_view] * 2
        self.overview = describe_data(self.domains, self.target_labels)
        for line in self.overview if show_overview else ():
            log.info("%s", line)
        for line in Copies(self.domains).exact():
            log.warning("%s", line)
        self.domains = self.ready(self.domains)
        for line in self.describe_near_copies(self.domains):
            log.warning("%s", line)
        if needs.is_self_supervised:
            self.domains, self.target_labels = self.domains.without_labels(), TargetLabels(None)
        elif self.source_labels_per_class is not None and self.domains.source is not None:
            self.domains = keep_labelled_source(self.domains, per_class=self.source_labels_per_class, seed=self.seed)
        self.reveal_target_labels = reveal_target_labels
        if frozen_backbone is not None and self.feature_cache != "none":
            self.frozen_backbone = FrozenBackbone(frozen_backbone, self.feature_cache)


def missing_source() -> ConfigError:
    """Return the error for a method that needs a source if none is named."""
    return ConfigError(
        "data.source is null, but this method trains on a labelled source. Name it (data.source=...), "
        "or adapt a trained model without one: method=shot init_from=RUN."
    )


def data_of(trainer: pl.Trainer) -> AdaptationData:
    """Return the data module of a trainer, for which Lightning declares no type."""
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, AdaptationData):
        raise TypeError(f"The trainer has {type(data).__name__} instead of AdaptationData.")
    return data
