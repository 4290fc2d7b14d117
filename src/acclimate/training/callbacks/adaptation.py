"""Curves of the adaptation: the distance between the domains, and the certainty and diversity of predictions."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from acclimate.data.datamodule import data_of
from acclimate.diagnostics.domain_distance import centred_products, feature_discrepancy, proxy_a_distance
from acclimate.diagnostics.negative_transfer import reference_predictions
from acclimate.diagnostics.training_problems import class_entropy
from acclimate.models.classifier import Classifier
from acclimate.models.modes import evaluation
from acclimate.selection.evaluation_callback import EvaluationCallback
from acclimate.training.callbacks.accuracies import Accuracies
from acclimate.training.callbacks.scores import Scores
from acclimate.training.optional_outputs import optional_output
from acclimate.types import Domain, Labelled, Part, Prediction, Unlabelled

# Validation inputs of each domain whose features are kept.
NUM_SAMPLES = 300
DOMAINS: tuple[Domain, ...] = ("source", "target")


class Sampled(NamedTuple):
    """Predictions for validation inputs of a domain in random order, which is the same in each validation.

    Attributes:
        places: Their places in the validation part, int64, shape (N,).
        features: float32, shape (N, D).
        probabilities: float32, shape (N, K).
    """

    places: Tensor
    features: Tensor
    probabilities: Tensor

    def first(self, num: int) -> "Sampled":
        """Return the first inputs, which are a random choice."""
        return Sampled(*(values[:num] for values in self))


class Adaptation(EvaluationCallback):
    """Callback that logs, after each validation in training, how far apart the domains are and how certain the predictions are.

    It uses no target labels. All values are explained in `acclimate.training.dashboard`.

    Args:
        accuracies: The callback that counts the source's validation inputs.
        scores: The callback with the predictions for the target's validation inputs.
        folder: The folder of the run; next to it may be one of `source_only` to compare with.

    Attributes:
        batches: Sampled inputs of each batch of the last validation, by domain.
    """

    def __init__(self, accuracies: Accuracies, scores: Scores, folder: Path) -> None:
        self.accuracies = accuracies
        self.scores = scores
        self.folder = folder
        self.batches: dict[Domain, list[Sampled]] = {}
        self._seen: dict[Domain, int] = {}
        # Of each validation input, the number of its source or target.
        self._origins: dict[Domain, Tensor] = {}
        self._reference: Tensor | None = None
        self._knows_reference = False

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer, NUM_SAMPLES)

    def _start(self, trainer: pl.Trainer, num_samples: int) -> None:
        self.batches, self._seen = {}, {}
        self._kept: dict[Domain, Tensor] = {}
        domains = data_of(trainer).domains
        for domain in DOMAINS:
            parts = domains.source if domain == "source" else domains.target
            if parts is not None:
                # In random order, because the samples of a source may be sorted by their classes.
                order = torch.randperm(len(parts.val), generator=torch.Generator().manual_seed(0))
                self._kept[domain] = order[:num_samples].sort().values
                self._origins[domain] = torch.zeros(len(order), dtype=torch.int64) if parts.val.domains is None else parts.val.domains

    def on_evaluation_batch(self, part: Part, domain: Domain, prediction: Prediction, batch: Labelled | Unlabelled) -> None:
        if part == "val":
            first, num = self._seen.get(domain, 0), len(prediction.logits)
            self._seen[domain] = first + num
            kept = self._kept[domain]
            places = kept[(kept >= first) & (kept < first + num)]
            rows = (places - first).to(prediction.logits.device)
            sampled = Sampled(places, prediction.features[rows].float(), prediction.logits[rows].float().softmax(dim=1))
            self.batches.setdefault(domain, []).append(sampled)

    def predict(self, trainer: pl.Trainer, pl_module: pl.LightningModule, num_samples: int) -> None:
        """Predict so many inputs of each domain outside of a validation; training goes on as if nothing had happened."""
        self._start(trainer, num_samples)
        classifier: Classifier = pl_module.classifier  # type: ignore[assignment]
        with evaluation(classifier), trainer.precision_plugin.forward_context():
            for domain, dataset in data_of(trainer).evaluation_samples("val"):
                kept, size = self._kept[domain], data_of(trainer).eval_batch_size
                for places in (kept[first : first + size] for first in range(0, len(kept), size)):
                    inputs = trainer.strategy.batch_to_device(dataset.inputs(places.tolist()))
                    # Not through __call__, which would compile a compiled classifier for this batch.
                    features, logits = classifier.forward(inputs)
                    self.batches.setdefault(domain, []).append(Sampled(places, features.float(), logits.float().softmax(dim=1)))

    def samples(self) -> dict[Domain, Sampled]:
        """Return the sampled inputs of each domain that has some."""
        return {domain: sample for domain in DOMAINS if (sample := self.sample(domain)) is not None}

    def sample(self, domain: Domain) -> Sampled | None:
        """Return the sampled inputs of the last validation in random order; None if the domain has none."""
        if domain not in self.batches:
            return None
        places, features, probabilities = (torch.cat(parts) for parts in zip(*self.batches[domain], strict=True))
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(1))
        there = order.to(features.device)
        return Sampled(places[order], features[there], probabilities[there])

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Only for curves; the test at the end has neither.
        if trainer.state.fn == "fit" and any(not isinstance(logger, pl.loggers.logger.DummyLogger) for logger in trainer.loggers):
            with optional_output("the curves of the adaptation"):
                pl_module.log_dict(self.values())

    def values(self) -> dict[str, Tensor | float]:
        """Return the values to log by name."""
        values: dict[str, Tensor | float] = {}
        samples = self.samples()
        if distances := self.distances(samples):
            values["adaptation/proxy_a_distance"], values["adaptation/mmd"] = distances
        if self.scores.has_head:
            if "source" in self.accuracies.confusion and "source" in samples:
                values["predictions/source_class_entropy"] = _diversity(self.accuracies.confusion["source"].sum(dim=0))
                values["predictions/source_confidence"] = samples["source"].probabilities.amax(dim=1).mean()
            if self.scores.probabilities:
                values |= self._of_target(torch.cat(self.scores.probabilities).float())
        return values

    def distances(self, samples: Mapping[Domain, Sampled]) -> tuple[Tensor, Tensor] | None:
        """Return the proxy A-distance and the maximum mean discrepancy of the features of samples; None without one of the domains.

        Args:
            samples: The result of `samples`.
        """
        if len(samples) < len(DOMAINS):
            return None
        products, num_source = centred_products(*(sample.features for sample in samples.values())), len(samples["source"].places)
        origins = torch.cat([self._origins[domain][sample.places] for domain, sample in samples.items()])
        distance = proxy_a_distance(products, num_source=num_source, domains=origins if origins.any() else None)
        return distance, feature_discrepancy(products, num_source=num_source)

    def _of_target(self, probabilities: Tensor) -> dict[str, Tensor | float]:
        confidences, predicted = probabilities.max(dim=1)
        values: dict[str, Tensor | float] = {
            "predictions/target_class_entropy": _diversity(predicted.bincount(minlength=probabilities.shape[1])),
            "predictions/target_confidence": confidences.mean(),
        }
        if not self._knows_reference:
            self._reference, self._knows_reference = reference_predictions(self.folder), True
        if self._reference is not None and self._reference.shape == predicted.shape:
            values["predictions/agreement_with_source_only"] = (predicted == self._reference).float().mean()
        return values


def _diversity(counts: Tensor) -> Tensor:
    """Return the entropy of class proportions given as counts, as a share of that of equally frequent classes."""
    return class_entropy(counts.cpu()).float() / math.log(len(counts))
