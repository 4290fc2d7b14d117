"""Accuracy on each domain whose labels may be used."""

from collections.abc import Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from acclimate.data.datamodule import data_of
from acclimate.data.samples import NO_LABEL
from acclimate.data.sampling import Draw
from acclimate.models.classifier import Classifier
from acclimate.models.modes import evaluation
from acclimate.selection.evaluation_callback import EvaluationCallback
from acclimate.types import Domain, Labelled, Part, Prediction, Unlabelled


class Accuracies(EvaluationCallback):
    """Callback that logs `source/val_accuracy`, `source/test_accuracy` and `target/test_accuracy`.

    The target's validation inputs have labels only for an oracle; their accuracy is then named
    `target/val_oracle_accuracy`. With several sources or targets, there is also one for each, such as `target/NAME/test_accuracy`.

    Attributes:
        confusion: Confusion matrix of the last evaluation by domain, counts of shape (K, K), true classes in rows.
        correct: With several sources or targets: for each input the number of its source or target, int64, and True if its
            prediction is correct, lists of batches, shape (N,).
    """

    def __init__(self) -> None:
        self.confusion: dict[Domain, Tensor] = {}
        self.correct: dict[Domain, list[tuple[Tensor, Tensor]]] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.confusion, self.correct = {}, {}

    on_test_epoch_start = on_validation_epoch_start

    def on_evaluation_batch(self, part: Part, domain: Domain, prediction: Prediction, batch: Labelled | Unlabelled) -> None:
        if not isinstance(batch, Labelled):
            return
        logits, labels = prediction.logits, batch.labels
        if batch.domains is not None:
            known = labels != NO_LABEL
            logits, labels = logits[known], labels[known]
            self.correct.setdefault(domain, []).append((batch.domains[known], logits.argmax(dim=1) == labels))
        counts = multiclass_confusion_matrix(logits, labels, num_classes=logits.shape[1])
        self.confusion[domain] = self.confusion.get(domain, torch.zeros_like(counts)) + counts

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for domain, confusion in self.confusion.items():
            metric = "val_accuracy" if domain == "source" else "val_oracle_accuracy"
            pl_module.log(f"{domain}/{metric}", _accuracy(confusion), prog_bar=True)
        self._log_each(trainer, pl_module, {"source": "val_accuracy", "target": "val_oracle_accuracy"})

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for domain, confusion in self.confusion.items():
            pl_module.log(f"{domain}/test_accuracy", _accuracy(confusion))
        self._log_each(trainer, pl_module, {"source": "test_accuracy", "target": "test_accuracy"})

    def _log_each(self, trainer: pl.Trainer, pl_module: pl.LightningModule, metrics: Mapping[Domain, str]) -> None:
        """Log the accuracy on each of several sources or targets that has labels."""
        for domain, batches in self.correct.items():
            numbers, correct = map(torch.cat, zip(*batches, strict=True))
            parts = getattr(data_of(trainer).domains, domain)
            for number, name in enumerate(parts.train.domain_names):
                if (here := numbers == number).any():
                    pl_module.log(f"{domain}/{name}/{metrics[domain]}", correct[here].float().mean())


def train_accuracy(trainer: pl.Trainer, pl_module: pl.LightningModule, num: int) -> float:
    """Return the accuracy on a random choice of the source's training inputs, in the mode of evaluation.

    They are in the view of evaluation or, if features are kept, in the first view of training, which needs no pass of the backbone.

    Args:
        trainer: The trainer of a validation.
        pl_module: A method with source labels.
        num: Number of inputs, if there are as many.
    """
    data, classifier = data_of(trainer), pl_module.classifier
    assert data.domains.source is not None and isinstance(classifier, Classifier)
    samples, kept = data.domains.source.train, data.feeds()["source"].samples
    assert samples.labels is not None
    chosen = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))[:num].sort().values
    correct = 0
    with evaluation(classifier), trainer.precision_plugin.forward_context():
        for places in torch.split(chosen, data.eval_batch_size):
            if kept.features:
                inputs = kept.look([Draw(place, 0) for place in places.tolist()])[0]
            else:
                inputs = data.kind.view("plain").look(samples.load(places.tolist()), [])
            inputs = trainer.strategy.batch_to_device(inputs)
            # Not through __call__, which would compile a compiled classifier for this batch.
            predicted = classifier.forward(inputs).logits.argmax(dim=1).cpu()
            correct += int((predicted == samples.labels[places]).sum())
    return correct / len(chosen)


def _accuracy(confusion: Tensor) -> Tensor:
    counts = confusion.float()
    return counts.trace() / counts.sum()
