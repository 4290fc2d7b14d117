"""The base class of callbacks that use the predictions of validations and tests."""

from abc import ABC, abstractmethod

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from acclimate.data.datamodule import data_of
from acclimate.types import Domain, Labelled, Part, Prediction, Unlabelled


class EvaluationCallback(Callback, ABC):
    """Base class of callbacks that use the predictions for every batch of a validation or a test."""

    @abstractmethod
    def on_evaluation_batch(self, part: Part, domain: Domain, prediction: Prediction, batch: Labelled | Unlabelled) -> None:
        """Use the predictions for a batch.

        Args:
            part: `val` or `test`.
            domain: Domain of the inputs.
            prediction: Predictions of the classifier.
            batch: The inputs; target labels only if they may be used.
        """

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Prediction,  # type: ignore[override]
        batch: Labelled | Unlabelled,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.on_evaluation_batch("val", data_of(trainer).evaluated_domains("val")[dataloader_idx], outputs, batch)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Prediction,  # type: ignore[override]
        batch: Labelled | Unlabelled,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.on_evaluation_batch("test", data_of(trainer).evaluated_domains("test")[dataloader_idx], outputs, batch)
