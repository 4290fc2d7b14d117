"""Warnings about problems during training, and the verdict at its end."""

import logging
from itertools import takewhile
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from acclimate.data.datamodule import data_of
from acclimate.diagnostics.training_problems import SYMPTOMS, Evidence, Validation, estimated_proportions
from acclimate.diagnostics.verdict import Signs, memorised_source, verdict
from acclimate.training.callbacks.accuracies import Accuracies, train_accuracy
from acclimate.training.callbacks.adaptation import Adaptation
from acclimate.training.callbacks.scores import Scores
from acclimate.training.optional_outputs import optional_output
from acclimate.types import Needs

log = logging.getLogger(__name__)

# Logged by methods with a domain discriminator; a critic or an adversarial classifier has no such accuracy.
DOMAIN_ACCURACY = "adaptation/domain_accuracy"
NUM_TENTHS = 10
# Training inputs of the source for the verdict, which may have to be read and decoded.
NUM_TRAINED = 100


class Health(Callback):
    """Callback that looks for problems after each validation and warns once about each, in the console and in `train.log`.

    Args:
        accuracies: The callback that counts the source's validation inputs.
        scores: The callback with the predictions for the target's validation inputs; target labels are not used.
        adaptation: The callback with the features of validation inputs.

    Attributes:
        verdict: Lines about the checkpoint that was validated after the training, see `acclimate.diagnostics.verdict`.
    """

    def __init__(self, accuracies: Accuracies, scores: Scores, adaptation: Adaptation) -> None:
        self.accuracies = accuracies
        self.scores = scores
        self.adaptation = adaptation
        self.verdict: list[str] = []
        self.warned: list[str] = []
        self.history: list[Validation] = []
        # Sums and numbers of the values logged in each tenth of the training.
        self.domain_accuracy: list[Tensor | float] = [0.0] * NUM_TENTHS
        self.num_logged = [0] * NUM_TENTHS
        self._evidence: Evidence | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        # Only in steps in which Lightning reads the metrics for the logger anyway, and without synchronising with the device.
        interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % max(interval, 1) == 0 and DOMAIN_ACCURACY in (metrics := trainer.callback_metrics):
            tenth = min(int(NUM_TENTHS * pl_module.progress), NUM_TENTHS - 1)  # type: ignore[operator]
            self.domain_accuracy[tenth] = self.domain_accuracy[tenth] + metrics[DOMAIN_ACCURACY]
            self.num_logged[tenth] += 1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        evidence = self._gather(trainer, pl_module)
        if trainer.state.fn == "fit":
            self._evidence = evidence
            self._judge(trainer, evidence)
        elif pl_module.batches_done:
            # The selected checkpoint of the training that has just ended.
            with optional_output("the verdict"):
                self._conclude(trainer, pl_module, evidence)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Early stopping may end training before progress reaches 1.
        if self._evidence is not None:
            self._judge(trainer, self._evidence._replace(progress=1.0))

    def _gather(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Evidence:
        classes: list[str] = data_of(trainer).domains.classes
        progress = float(pl_module.progress)  # type: ignore[arg-type]
        confusion = self.accuracies.confusion["source"].cpu() if "source" in self.accuracies.confusion else None
        target_counts, proportions = None, []
        # Predictions that are not finite have no class.
        if self.scores.probabilities and (probabilities := torch.cat(self.scores.probabilities)).isfinite().all():
            target_counts = probabilities.argmax(dim=1).bincount(minlength=len(classes)).cpu()
            proportions = [] if confusion is None else estimated_proportions(confusion, target_counts).tolist()
        if confusion is not None and trainer.state.fn == "fit":
            self.history.append(Validation(progress, float(confusion.trace() / confusion.sum()), proportions))
        # A tenth of a short training may have no logged step; only the tenths before it form an unbroken record.
        tenths = takewhile(lambda tenth: tenth[1], zip(self.domain_accuracy, self.num_logged, strict=True))
        means = torch.tensor([float(total) / number for total, number in tenths])
        # Processes evaluate the same inputs, but train on different ones.
        reduced = trainer.strategy.reduce(means.to(pl_module.device), reduce_op="mean")
        assert isinstance(reduced, Tensor)
        source_counts = None if confusion is None else confusion.sum(dim=1)
        return Evidence(progress, classes, source_counts, target_counts, self.history, reduced.tolist())

    def _judge(self, trainer: pl.Trainer, evidence: Evidence) -> None:
        for symptom in SYMPTOMS:
            message = None if symptom.__name__ in self.warned else symptom(evidence)
            if message is not None:
                self.warned.append(symptom.__name__)
                if trainer.is_global_zero:
                    log.warning("%s", message)

    def _conclude(self, trainer: pl.Trainer, pl_module: pl.LightningModule, evidence: Evidence) -> None:
        """Give the verdict on the checkpoint that was validated, and warn if it has memorised its source."""
        distances = self.adaptation.distances(self.adaptation.samples())
        confusion = self.accuracies.confusion.get("source") if self.scores.has_head else None
        needs: Needs = pl_module.needs  # type: ignore[assignment]
        # A shortened training uses few inputs, and must not wait for others. For Lightning, 1.0 means all batches, and 1 a single one.
        uses_all = isinstance(trainer.limit_train_batches, float) and trainer.limit_train_batches == 1.0
        signs = Signs(
            evidence,
            train_accuracy=train_accuracy(trainer, pl_module, NUM_TRAINED) if needs.source == "labelled" and uses_all else None,
            confusion=None if confusion is None else confusion.cpu(),
            domain_distance=None if distances is None else float(distances[0]),
            aligns=needs.source == "labelled" and needs.target and needs.trained_features,
        )
        self.verdict = verdict(signs)
        if trainer.is_global_zero and (message := memorised_source(signs)):
            log.warning("%s", message)

    def state_dict(self) -> dict[str, Any]:
        return {
            "warned": list(self.warned),
            "history": [tuple(validation) for validation in self.history],
            "domain_accuracy": [float(total) for total in self.domain_accuracy],
            "num_logged": list(self.num_logged),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.warned = state_dict["warned"]
        self.history = [Validation(*values) for values in state_dict["history"]]
        self.domain_accuracy, self.num_logged = state_dict["domain_accuracy"], state_dict["num_logged"]
