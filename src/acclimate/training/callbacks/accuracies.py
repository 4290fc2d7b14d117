"""Accuracy on each domain whose labels may be used."""

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from acclimate.selection.evaluation_callback import EvaluationCallback
from acclimate.types import Domain, Labelled, Part, Prediction, Unlabelled


class Accuracies(EvaluationCallback):
    """Callback that logs `source/val_accuracy`, `source/test_accuracy` and `target/test_accuracy`.

    The target's validation inputs have labels only for an oracle; their accuracy is then named
    `target/val_oracle_accuracy`.

    Attributes:
        confusion: Confusion matrix of the last evaluation by domain, counts of shape (K, K), true classes in rows.
    """

    def __init__(self) -> None:
        self.confusion: dict[Domain, Tensor] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.confusion = {}

    on_test_epoch_start = on_validation_epoch_start

    def on_evaluation_batch(self, part: Part, domain: Domain, prediction: Prediction, batch: Labelled | Unlabelled) -> None:
        if isinstance(batch, Labelled):
            counts = multiclass_confusion_matrix(prediction.logits, batch.labels, num_classes=prediction.logits.shape[1])
            self.confusion[domain] = self.confusion.get(domain, torch.zeros_like(counts)) + counts

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for domain, confusion in self.confusion.items():
            name = "source/val_accuracy" if domain == "source" else "target/val_oracle_accuracy"
            pl_module.log(name, _accuracy(confusion), prog_bar=True)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for domain, confusion in self.confusion.items():
            pl_module.log(f"{domain}/test_accuracy", _accuracy(confusion))


def _accuracy(confusion: Tensor) -> Tensor:
    counts = confusion.float()
    return counts.trace() / counts.sum()
